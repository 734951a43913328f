//! Parts of lists. A list is in the order of its keys, and a cursor is the key of the last entry that was read: what is
//! made or goes meanwhile makes no other entry appear twice or not at all.

use std::fmt::Display;
use std::str::FromStr;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::{Page, Problem};

/// Most entries of a part.
pub(super) const MOST: usize = 1000;

/// What every list can be asked for.
pub(super) const FIX: &str = "use limit=NUMBER or cursor=CURSOR, or nothing";

/// An answer, and where the next part of its list is.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) body: T,
    pub(super) next: Option<HeaderValue>,
}

impl<T: Serialize> IntoResponse for Part<T> {
    fn into_response(self) -> Response {
        let link: Option<(HeaderName, HeaderValue)> = self.next.map(|next| (header::LINK, next));
        (link.into_iter().collect::<axum::http::HeaderMap>(), Json(self.body)).into_response()
    }
}

/// What a request asks for.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>, fix: &str) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|error| Problem::bad_request(error.body_text()).fix(fix))
}

/// The part of a list that is asked for.
pub(super) fn part<T, K>(
    list: Vec<T>,
    key: impl Fn(&T) -> K,
    page: &Page,
    uri: &Uri,
) -> Result<Part<Vec<T>>, Problem>
where
    K: Ord + Display + FromStr,
{
    let after = after::<K>(page, uri)?;
    let most = limit(page)?.unwrap_or(usize::MAX);
    let mut list: Vec<(K, T)> = list.into_iter().map(|entry| (key(&entry), entry)).collect();
    list.retain(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    list.sort_by(|(one, _), (other, _)| one.cmp(other));
    let is_last = list.len() <= most;
    list.truncate(most);
    let next = list.last().filter(|_| !is_last).and_then(|(key, _)| next(key, uri));
    Ok(Part { body: list.into_iter().map(|(_, entry)| entry).collect(), next })
}

/// How many entries are wanted at most.
pub(super) fn limit(page: &Page) -> Result<Option<usize>, Problem> {
    match page.limit {
        Some(limit) if !(1..=MOST).contains(&limit) => {
            Err(Problem::bad_request(format!("limit is 1-{MOST}"))
                .fix("ask for the next part with the Link header"))
        }
        limit => Ok(limit),
    }
}

/// The key after which the part begins.
pub(super) fn after<K: FromStr>(page: &Page, uri: &Uri) -> Result<Option<K>, Problem> {
    let Some(cursor) = &page.cursor else { return Ok(None) };
    let key = decode(cursor).and_then(|text| text.strip_prefix(uri.path())?.strip_prefix('?')?.parse().ok());
    let broken = || {
        let problem =
            Problem::new(400, "BadCursor", "The cursor is none of this list", format!("{cursor:?}"));
        problem.fix("take it from the Link header as it is, or begin again without one")
    };
    key.map(Some).ok_or_else(broken)
}

/// Where the part after the entry with this key is.
pub(super) fn next(key: &impl Display, uri: &Uri) -> Option<HeaderValue> {
    let fields = uri.query().unwrap_or_default().split('&');
    let kept = fields.filter(|field| !field.is_empty() && !field.starts_with("cursor="));
    let query: String = kept.map(|field| format!("{field}&")).collect();
    let cursor = encode(&format!("{}?{key}", uri.path()));
    HeaderValue::try_from(format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path())).ok()
}

/// As hexadecimal digits, which stand for themselves in a query.
fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(digits: &str) -> Option<String> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high @ (b'0'..=b'9' | b'a'..=b'f'), low @ (b'0'..=b'9' | b'a'..=b'f')] => {
            u8::from_str_radix(std::str::from_utf8(&[*high, *low]).ok()?, 16).ok()
        }
        _ => None,
    });
    String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of a part, and the cursor of the next one.
    fn read(list: &[u64], limit: usize, cursor: Option<String>) -> (Vec<u64>, Option<String>) {
        let page = Page { limit: Some(limit), cursor };
        let uri = Uri::from_static("/v1/sas?tag=a=b&cursor=00&limit=2");
        let part = part(list.to_vec(), |entry| *entry, &page, &uri).expect("a part");
        let next = part.next.map(|link| {
            let link = link.to_str().expect("text").to_owned();
            let link = link.strip_prefix("</v1/sas?tag=a=b&limit=2&cursor=").expect("a link");
            link.strip_suffix(">; rel=\"next\"").expect("a link").to_owned()
        });
        (part.body, next)
    }

    #[test]
    fn what_stays_is_read_once_while_others_come_and_go() {
        let (first, next) = read(&[9, 3, 5, 1, 7], 2, None);
        assert_eq!((first, next.is_some()), (vec![1, 3], true));
        // The last one that was read is gone, and others came before and after it.
        let (second, next) = read(&[0, 1, 2, 4, 5, 7, 9], 3, next);
        assert_eq!(second, [4, 5, 7]);
        assert_eq!(read(&[9, 7, 5], 3, next), (vec![9], None));
        assert_eq!(read(&[1, 2], 2, None), (vec![1, 2], None), "no link to nothing");
    }

    #[test]
    fn cursors_are_of_their_list_and_whole() {
        let uri = Uri::from_static("/v1/sas");
        let refused = |cursor: &str| {
            let page = Page { limit: None, cursor: Some(cursor.to_owned()) };
            after::<u64>(&page, &uri).expect_err(cursor).code
        };
        let good = encode("/v1/sas?7");
        for cursor in ["", "7", "zz", "+1", "0", &good[1..], &good.to_uppercase(), &encode("/v1/tokens?7")] {
            assert_eq!(&*refused(cursor), "BadCursor", "{cursor}");
        }
        for key in ["", "x", "-1", "99999999999999999999"] {
            assert_eq!(&*refused(&encode(&format!("/v1/sas?{key}"))), "BadCursor", "{key}");
        }
        assert_eq!(after::<u64>(&Page { limit: None, cursor: Some(good) }, &uri), Ok(Some(7)));
        for limit in [0, MOST + 1] {
            assert_eq!(
                super::limit(&Page { limit: Some(limit), cursor: None }).expect_err("refused").status,
                400
            );
        }
    }
}
