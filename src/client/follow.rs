//! Answers that do not end: server-sent events.

use super::{CallError, Client, refusal};
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Response};
use std::time::Duration;

/// A connection on which nothing comes for so long is dead: there is a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two attempts to reach a control plane that went away.
const RETRY: Duration = Duration::from_secs(1);
/// The longest line.
const MAX_LINE: usize = 64 << 10;
/// The longest refusal.
const MAX_REFUSAL: usize = 64 << 10;

impl Client {
    /// The events of `GET path`, one after the other, until Ctrl-C: `each` gets the data of each.
    ///
    /// A control plane that goes away is waited for. What happened meanwhile is told as far as it remembers it.
    ///
    /// # Errors
    /// If the control plane does not answer at first or refuses, or if `each` fails.
    pub fn follow(&self, path: &str, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut events = Events::default();
            let following = async {
                let mut response = self.events(path, None).await?;
                loop {
                    events.read(response, &mut each).await?;
                    response = self.again(path, &events.last).await?;
                }
            };
            tokio::select! {
                failed = following => failed,
                stopped = tokio::signal::ctrl_c() => stopped.context("no signals"),
            }
        })
    }

    async fn events(&self, path: &str, last: Option<&str>) -> Result<Response<Incoming>> {
        let headers = last.map(|last| ("last-event-id", last));
        let response = self.send(Method::GET, path, headers, Bytes::new()).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let answer = Limited::new(response.into_body(), MAX_REFUSAL).collect().await;
        Err(refusal(path, status, &answer.map(|all| all.to_bytes()).unwrap_or_default()).into())
    }

    /// Waits for a control plane that went away, and goes on after the event `last`.
    async fn again(&self, path: &str, last: &str) -> Result<Response<Incoming>> {
        loop {
            tokio::time::sleep(RETRY).await;
            match self.events(path, Some(last)).await {
                Err(error) if is_away(&error) => {}
                answered => return answered,
            }
        }
    }
}

/// Whether the control plane may be there later.
fn is_away(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<CallError>() {
        Some(CallError::Refused { status, .. }) => matches!(status, 429 | 503 | 504),
        Some(CallError::Untrusted { .. }) => false,
        // Without a word of its own, it hung up.
        Some(CallError::Unreachable { .. }) | None => true,
    }
}

/// Reads `text/event-stream` as far as the API uses it: data of one line.
#[derive(Debug, Default)]
struct Events {
    /// The ID of the last event.
    last: String,
    /// The beginning of a line.
    line: Vec<u8>,
}

impl Events {
    /// Until the stream ends or is dead.
    async fn read(
        &mut self,
        response: Response<Incoming>,
        each: &mut impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let mut body = response.into_body();
        self.line.clear();
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
            if let Ok(bytes) = frame.into_data() {
                self.take(&bytes, each)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > MAX_LINE {
                bail!("a line of the events is longer than {MAX_LINE} bytes: another version?");
            }
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                self.line.clear();
                if let Some(id) = line.strip_prefix("id: ") {
                    id.clone_into(&mut self.last);
                } else if let Some(data) = line.strip_prefix("data: ") {
                    each(data)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let text = b"retry: 2000\nid: 1-1\n\n:\n\nid: 1-2\nevent: x\ndata: {\"a\":\"\xc3\xa4\"}\n\nid: 1-3\nevent: x\ndata: 2\n\n";
        for size in 1..text.len() {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for piece in text.chunks(size) {
                let mut each = |data: &str| {
                    seen.push(data.to_owned());
                    Ok(())
                };
                events.take(piece, &mut each).expect("taken");
            }
            assert_eq!((seen, &*events.last), (vec!["{\"a\":\"ä\"}".to_owned(), "2".to_owned()], "1-3"));
        }
        let endless = vec![b'x'; MAX_LINE + 1];
        assert!(Events::default().take(&endless, &mut |_: &str| Ok(())).is_err());
    }
}
