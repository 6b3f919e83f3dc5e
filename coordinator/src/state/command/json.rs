//! A command as JSON: the level comes before what it decides about, and a command of a level that
//! is not known keeps its parts unread, so that a newer version finds them in the log.

use std::fmt;

use protocol::control::LOG_LEVEL;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Change, Command};
use crate::state::Actor;
use crate::state::level::FIRST;

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("level", &self.level)?;
        map.serialize_entry("at", &self.at)?;
        if let Change::Unread(parts) = &self.change {
            for (name, value) in parts.iter() {
                map.serialize_entry(name, value)?;
            }
            return map.end();
        }
        if !self.request.is_empty() {
            map.serialize_entry("request", &self.request)?;
        }
        if self.actor != Actor::System {
            map.serialize_entry("actor", &self.actor)?;
        }
        map.serialize_entry("change", &self.change)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Command;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Command, A::Error> {
        let (mut level, mut at, mut change) = (FIRST, None, None);
        let (mut request, mut actor) = (String::new(), Actor::System);
        let mut unread = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "level" => level = map.next_value()?,
                "at" => at = Some(map.next_value()?),
                _ if level > LOG_LEVEL => {
                    unread.insert(name, map.next_value::<Value>()?);
                }
                "request" => request = map.next_value()?,
                "actor" => actor = map.next_value()?,
                "change" => change = Some(map.next_value()?),
                other => return Err(A::Error::unknown_field(other, FIELDS)),
            }
        }
        if level > LOG_LEVEL {
            change = Some(Change::Unread(Box::new(unread)));
        }
        let at = at.ok_or_else(|| A::Error::missing_field("at"))?;
        let change = change.ok_or_else(|| A::Error::missing_field("change"))?;
        Ok(Command { at, level, request, actor, change })
    }
}

const FIELDS: &[&str] = &["level", "at", "request", "actor", "change"];
