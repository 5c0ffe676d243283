//! A connection that was accepted, with TLS or without.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::identity::Identity;

/// The bytes of a connection, as whoever sent them meant them.
#[derive(Debug)]
pub enum Stream<T> {
    /// As they came.
    Plain(T),
    /// Out of TLS.
    Encrypted(Box<TlsStream<T>>),
}

/// Shakes hands where there is an identity to show. The caller bounds how long that may take.
///
/// # Errors
/// If the other side breaks off, or speaks no TLS that we do.
pub async fn accept<T>(identity: Option<&Identity>, io: T) -> io::Result<Stream<T>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Some(identity) = identity else { return Ok(Stream::Plain(io)) };
    let acceptor = TlsAcceptor::from(std::sync::Arc::clone(&identity.config));
    Ok(Stream::Encrypted(Box::new(Box::pin(acceptor.accept(io)).await?)))
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Encrypted(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Encrypted(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Encrypted(io) => Pin::new(io.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Encrypted(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
        }
    }
}
