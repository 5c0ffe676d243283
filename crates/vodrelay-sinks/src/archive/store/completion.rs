//! Asks a bucket to complete an upload only where nothing stands under its key. Stores can do that, and their client has
//! no way to ask for it, so the header is set on the way out.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// Makes clients that set the header.
#[derive(Clone, Debug)]
pub(in crate::archive) struct SparingCompletion {
    header: (HeaderName, HeaderValue),
}

impl SparingCompletion {
    /// S3's own way (CompleteMultipartUpload in its API reference).
    pub(in crate::archive) fn of_s3() -> Self {
        Self { header: (http::header::IF_NONE_MATCH, HeaderValue::from_static("*")) }
    }

    /// That of OSS, which answers 501 to the other (CompleteMultipartUpload in its API reference).
    pub(in crate::archive) fn of_oss() -> Self {
        let name = HeaderName::from_static("x-oss-forbid-overwrite");
        Self { header: (name, HeaderValue::from_static("true")) }
    }
}

impl HttpConnector for SparingCompletion {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Sparing { inner, header: self.header.clone(), is_known: AtomicBool::new(true) }))
    }
}

/// What a store answers that knows no such header, as S3 has it.
const KNOWS_NO_SUCH_HEADER: StatusCode = StatusCode::NOT_IMPLEMENTED;

#[derive(Debug)]
struct Sparing {
    inner: HttpClient,
    header: (HeaderName, HeaderValue),
    /// Whether the store may know the header.
    is_known: AtomicBool,
}

#[async_trait]
impl HttpService for Sparing {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !completes(&request) || !self.is_known.load(Ordering::Relaxed) {
            return self.inner.execute(request).await;
        }
        // The signature does not cover the header, so it holds for both forms.
        let (name, value) = self.header.clone();
        let mut sparing = request.clone();
        sparing.headers_mut().insert(name, value);
        let answer = self.inner.execute(sparing).await?;
        if !matches!(answer.status(), KNOWS_NO_SUCH_HEADER | StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN)
        {
            return Ok(answer);
        }
        // It may be the header that the store does not take.
        let answer = self.inner.execute(request).await?;
        if answer.status().is_success() {
            self.is_known.store(false, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

fn completes(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::POST && query.split('&').any(|pair| pair.starts_with("uploadId="))
}
