//! Connections over TLS. Whoever connects is a stranger until a token says otherwise, so few may be at the handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::client::{Client, Source};
use super::super::limits::{Buckets, Limits, Seats};
use super::super::{Tls, manage};
use super::{Server, next};

/// What one listener allows.
#[derive(Debug)]
struct Door {
    tls: Arc<Tls>,
    seats: Arc<Seats<Source>>,
    /// Those that are at the handshake have one of these, too.
    handshakes: Arc<Seats<Source>>,
    rate: Buckets<()>,
    rate_each: Buckets<Source>,
}

impl Door {
    fn new(tls: Arc<Tls>, limits: &Limits) -> Self {
        Self {
            tls,
            seats: Seats::new(limits.connections, limits.remote_each),
            handshakes: Seats::new(limits.handshakes, limits.handshakes_each),
            rate: Buckets::new(limits.handshakes_per_sec, limits.handshakes_per_sec),
            rate_each: Buckets::new(limits.requests_per_sec, limits.burst),
        }
    }

    fn is_too_fast(&self, source: Source) -> bool {
        let now = Instant::now();
        self.rate_each.take(source, now).is_err() || self.rate.take((), now).is_err()
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        let address = stream.local_addr()?.ip().to_canonical();
        let config = self.tls.config(address, manage::now()).map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Server {
    /// Takes connections of a TCP socket, each with TLS, until the server stops.
    pub async fn serve_tls(self: Arc<Self>, listener: TcpListener, tls: Arc<Tls>) {
        let door = Arc::new(Door::new(tls, &self.limits));
        let mut stopping = self.stopping.subscribe();
        while let Some((stream, from)) = next(&mut stopping, || listener.accept()).await {
            self.welcome_stranger(stream, from, &door);
        }
    }

    /// Who finds no seat is hung up on: there is no way to tell why before the handshake.
    fn welcome_stranger(self: &Arc<Self>, stream: TcpStream, from: SocketAddr, door: &Arc<Door>) {
        let client = Client::Remote(from);
        let source = client.source();
        let seats = (door.seats.take(source), door.handshakes.take(source));
        let (Ok(seat), Ok(trying)) = seats else {
            return tracing::debug!(%client, "too many connections to the API");
        };
        if door.is_too_fast(source) {
            return tracing::debug!(%client, "too many TLS handshakes");
        }
        let (server, door) = (Arc::clone(self), Arc::clone(door));
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(server.limits.handshake_time, door.handshake(stream)).await;
            drop(trying);
            match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => server.converse(stream, client, seat).await,
                Err(error) => tracing::debug!(%client, %error, "no TLS"),
            }
        });
    }
}
