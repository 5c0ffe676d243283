// A handler as users write it today: express, the MD5 check, the URL hard-coded. Nothing in it knows of a relay.
const crypto = require("crypto");
const express = require("express");

const CALLBACK_URL = "https://api.example.com/vod/callback";
const PRIVATE_KEY = process.argv[2];
const report = { accepted: [], refused: 0 };

const app = express();
app.use(express.json());

app.post("/vod/callback", (req, res) => {
  const timestamp = req.get("X-VOD-TIMESTAMP");
  const expected = crypto.createHash("md5").update(`${CALLBACK_URL}|${timestamp}|${PRIVATE_KEY}`).digest("hex");
  if (req.get("X-VOD-SIGNATURE") !== expected || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) {
    report.refused += 1;
    return res.status(401).end();
  }
  report.accepted.push({ video_id: req.body.VideoId, event_type: req.body.EventType });
  res.status(200).end();
});

app.get("/report", (req, res) => res.json(report));

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
