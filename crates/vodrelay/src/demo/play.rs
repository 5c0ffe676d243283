//! The steps of the demo: what is sent, over which way, and what must come back.

use super::cdn::Cdn;
use super::cloud::{self, Cloud};
use super::queue::Queue;
use super::{CLOUD_KEY, Voice};
use crate::exit::{Code, Failure};

/// Plays every step; returns the bodies that must arrive.
pub(super) async fn play(
    cloud: &Cloud,
    queue: &Queue,
    cdn: &Cdn,
    voice: Voice,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut sent = play_over_http(cloud, cdn, voice).await?;
    sent.push(play_over_queue(queue, cdn, &sent, voice)?);
    voice.say("8. what a handler gets that asks for the first image by the URL of its event");
    let status = cloud.ask_unsigned(&cdn.gif()).await?;
    voice.say(format!("   -> {status}, since the CDN wants signed URLs; the archive signs"));
    Ok(sent)
}

/// Sends each callback, tells what it is and what came back.
async fn play_over_http(cloud: &Cloud, cdn: &Cdn, voice: Voice) -> Result<Vec<Vec<u8>>, Failure> {
    let (string, object) = (cloud::info_as_string(&cdn.gif()), cloud::info_as_object(&cdn.webp()));
    let (failed, forged) = (cloud::failed(), cloud::forged());
    let steps: [(&str, &[u8], &str, u16, &str); 5] = [
        (
            "VOD reports an animated image, a GIF; its details are JSON inside a string, as older pages document it",
            &string,
            CLOUD_KEY,
            200,
            "200 only after the event was synced to disk",
        ),
        (
            "another image, a WebP; its details are a plain object, as newer pages document it",
            &object,
            CLOUD_KEY,
            200,
            "200, both forms read the same",
        ),
        (
            "a job that failed, so without an image",
            &failed,
            CLOUD_KEY,
            200,
            "200, a failure is an event like any other",
        ),
        (
            "the first one once more, as VOD sends it when it missed our answer",
            &string,
            CLOUD_KEY,
            200,
            "200, and merged: the service will not see it twice",
        ),
        (
            "a forged callback, signed with a key that is not ours",
            &forged,
            "SomebodyElse2026",
            401,
            "401, kept apart for you to look at, delivered to nobody",
        ),
    ];
    for (number, (what, body, key, expected, told)) in steps.into_iter().enumerate() {
        voice.say(format!("{}. {what}", number + 1));
        let status = cloud.send(body, key).await?;
        if status != expected {
            return Err(Failure::new(
                Code::Internal,
                format!("the relay answered {status}, and {expected} was expected"),
            ));
        }
        voice.say(format!("   -> {told}"));
    }
    Ok(vec![string, object, failed])
}

/// Writes to the queue what came over HTTP already, and an event of its own, which is returned.
fn play_over_queue(queue: &Queue, cdn: &Cdn, sent: &[Vec<u8>], voice: Voice) -> Result<Vec<u8>, Failure> {
    voice.say("6. the second one once more, over the queue, as it happens when VOD is switched from HTTP to a queue");
    sent.get(1).map_or(Ok(()), |body| queue.write(body))?;
    voice.say("   -> merged: an event is the same whichever way it comes, and the message is deleted");
    voice.say("7. another image, over the queue alone");
    let body = cloud::info_as_string(&cdn.gif());
    queue.write(&body)?;
    voice.say("   -> the message is deleted only after the event was synced to disk");
    Ok(body)
}
