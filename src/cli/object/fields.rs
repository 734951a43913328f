//! Fields of an object as a command line has them: `tunnel[0].ike.lifetime=3600`.

use anyhow::{Result, bail};
use gateway::edit::Object;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::str::FromStr;

/// A field and what it shall be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    steps: Vec<Step>,
    /// `None` takes the field out.
    value: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, value) = text.split_once('=').ok_or("expected FIELD=VALUE, such as mtu=1400")?;
        let steps = steps(path).ok_or("expected a field such as tunnel[0].ike.lifetime")?;
        // The text of a tag or a key may look like a number and is none.
        let is_text = path.starts_with("tags.") || path.ends_with("psk");
        Ok(Self { value: (!value.is_empty()).then(|| read(value, is_text)), steps })
    }
}

/// `a[0].b` as its steps.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, mut rest) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        if key.is_empty() {
            return None;
        }
        steps.push(Step::Key(key.to_owned()));
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

/// JSON, or else text. A decimal number stays text: of an AS number each digit counts.
fn read(text: &str, is_text: bool) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) if is_text || !number.is_i64() => text.into(),
        Ok(Value::Bool(_) | Value::Null) if is_text => text.into(),
        Ok(value) => value,
        Err(_) => text.into(),
    }
}

impl Field {
    /// Sets the field, with the tables and the one element of a list that it is in.
    pub(super) fn assign(&self, object: &mut Object) -> Result<()> {
        let mut all = Value::Object(std::mem::take(object));
        let assigned = assign(&mut all, &self.steps, self.value.as_ref(), "");
        if let Value::Object(all) = all {
            *object = all;
        }
        assigned
    }
}

fn assign(place: &mut Value, steps: &[Step], value: Option<&Value>, path: &str) -> Result<()> {
    match (steps, value) {
        ([], value) => *place = value.cloned().unwrap_or_default(),
        ([Step::Key(key), rest @ ..], value) => {
            if place.is_null() {
                *place = Map::new().into();
            }
            let Some(table) = place.as_object_mut() else { bail!("{path} is no table: it has no {key}") };
            if rest.is_empty() && value.is_none() {
                table.remove(key);
                return Ok(());
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            assign(table.entry(key.clone()).or_insert(Value::Null), rest, value, &path)?;
        }
        ([Step::Index(at), rest @ ..], value) => {
            // One may be written without a list.
            if !place.is_array() {
                let one = place.take();
                *place = if one.is_null() { Value::Array(Vec::new()) } else { vec![one].into() };
            }
            let Some(items) = place.as_array_mut() else { bail!("{path} is no list") };
            if *at > items.len() || *at == items.len() && value.is_none() {
                bail!("{path}[{at}]: {path} has {} elements, the first of which is {path}[0]", items.len());
            }
            if rest.is_empty() && value.is_none() {
                items.remove(*at);
                return Ok(());
            }
            if *at == items.len() {
                items.push(Value::Null);
            }
            assign(&mut items[*at], rest, value, &format!("{path}[{at}]"))?;
        }
    }
    Ok(())
}

/// Every field in a line of its own, as [`Field`] reads it, the name first.
pub(super) fn lines(object: &Object) -> String {
    let mut out = String::new();
    let (names, others): (Vec<_>, Vec<_>) = object.iter().partition(|(key, _)| *key == "name");
    names.into_iter().chain(others).for_each(|(key, value)| lines_of(key, value, &mut out));
    out
}

fn lines_of(path: &str, value: &Value, out: &mut String) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| lines_of(&format!("{path}.{key}"), value, out));
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            let item = |(at, item)| lines_of(&format!("{path}[{at}]"), item, out);
            items.iter().enumerate().for_each(item);
        }
        value => drop(writeln!(out, "{path}={value}")),
    }
}

/// A value without quotation marks, for a table.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(table) => {
            let entry = |(key, value): (&String, &Value)| match plain(value) {
                value if value.is_empty() => key.clone(),
                value => format!("{key}={value}"),
            };
            table.iter().map(entry).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn after(before: Value, fields: &[&str]) -> Value {
        let mut object = object(before);
        for field in fields {
            field.parse::<Field>().expect("a field").assign(&mut object).expect("assigned");
        }
        object.into()
    }

    #[test]
    fn fields_are_set_where_they_are_and_made_where_they_are_not() {
        let before =
            json!({ "mtu": 1400, "tunnel": [{ "customer-gateway": "a", "ike": { "lifetime": 1 } }] });
        let fields = ["mtu=", "tunnel[0].ike.lifetime=3600", "tunnel[1].customer-gateway=b", "tags.site=7"];
        let tunnels = [
            json!({ "customer-gateway": "a", "ike": { "lifetime": 3600 } }),
            json!({ "customer-gateway": "b" }),
        ];
        assert_eq!(after(before.clone(), &fields), json!({ "tunnel": tunnels, "tags": { "site": "7" } }));
        assert_eq!(after(before, &["tunnel[0].psk=1234"])["tunnel"][0]["psk"], "1234");
        let networks = json!({ "local-networks": "10.1.0.0/24" });
        let both = json!({ "local-networks": ["10.1.0.0/24", "10.2.0.0/24"] });
        assert_eq!(after(networks, &["local-networks[1]=10.2.0.0/24"]), both);
        assert_eq!(after(both, &["local-networks[0]="]), json!({ "local-networks": ["10.2.0.0/24"] }));
        let values = after(json!({}), &["a=true", "b=[\"x\"]", "c=1.10", "d=\"5\"", "e=x=y"]);
        assert_eq!(values, json!({ "a": true, "b": ["x"], "c": "1.10", "d": "5", "e": "x=y" }));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in ["mtu", "=5", "a..b=1", "a[x]=1", "a[0=1", "a[0]b=1", "[0]=1"] {
            assert!(text.parse::<Field>().is_err(), "{text}");
        }
        let mut object = object(json!({ "mtu": 5, "tunnel": [{}] }));
        for text in ["mtu.x=1", "tunnel[2].psk=x", "tunnel[1]="] {
            assert!(text.parse::<Field>().expect("a field").assign(&mut object).is_err(), "{text}");
        }
        assert_eq!(Value::from(object), json!({ "mtu": 5, "tunnel": [{}] }));
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let shown = json!({
            "name": "hq", "mtu": 1400, "tags": { "site": "osaka" }, "dpd": false,
            "tunnel": [{ "customer-gateway": "a", "ike": { "lifetime": 1 } }],
        });
        let lines = lines(&object(shown.clone()));
        assert!(lines.contains("tunnel[0].ike.lifetime=1\n") && lines.contains("name=\"hq\"\n"), "{lines}");
        let fields: Vec<&str> = lines.lines().collect();
        assert_eq!(after(json!({}), &fields), shown);
    }
}
