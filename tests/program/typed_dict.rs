//! The fields of a finding as classes of Python for type checkers: their names from the type, what they hold from the AsyncAPI document.

use std::fmt::Write;

use cpc_stream::Finding;
use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde_json::Value;

use crate::support::schema::Document;

/// `Event` and the classes of its fields that are objects.
pub(crate) fn of_finding(document: &Document) -> String {
    let schema = document.schema("Event");
    let mut classes = Vec::new();
    let about = "A report about an event, with the keys of the JSON documents. For type checkers alone: the module has no such name at run time.";
    let fields = class(document, schema, &fields_of::<Finding>(), &mut classes);
    classes.push(format!("@type_check_only\nclass Event(TypedDict):\n    \"\"\"{about}\"\"\"\n\n{fields}"));
    classes.join("\n")
}

fn class(document: &Document, schema: &Value, names: &[&str], classes: &mut Vec<String>) -> String {
    let required = schema["required"].as_array();
    let mut text = String::new();
    for name in names {
        let value = &schema["properties"][name];
        assert!(value.is_object(), "docs/asyncapi.yaml does not describe {name}");
        let held = held(document, value, name, classes);
        let always = required.is_some_and(|required| required.iter().any(|other| other == name));
        let held = if always { held } else { format!("NotRequired[{held}]") };
        writeln!(text, "    {name}: {held}").unwrap();
    }
    text
}

fn held(document: &Document, value: &Value, name: &str, classes: &mut Vec<String>) -> String {
    let value = document.follow(value);
    if let Some(choices) = value["oneOf"].as_array() {
        let choices: Vec<String> = choices.iter().map(|one| held(document, one, name, classes)).collect();
        return choices.join(" | ");
    }
    if let Some(words) = value["enum"].as_array() {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        return format!("Literal[{}]", words.join(", "));
    }
    if value["const"].is_boolean() {
        return "bool".into();
    }
    if let Some(properties) = value["properties"].as_object() {
        let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
        names.sort_unstable();
        let fields = class(document, value, &names, classes);
        let class = format!("_{}{}", name[..1].to_uppercase(), &name[1..]);
        classes.push(format!("@type_check_only\nclass {class}(TypedDict):\n{fields}"));
        return class;
    }
    let one = |kind: &Value| match kind.as_str().unwrap() {
        "integer" => "int".to_owned(),
        "number" => "float".to_owned(),
        "string" => "str".to_owned(),
        "null" => "None".to_owned(),
        "array" => format!("list[{}]", held(document, &value["items"], name, &mut Vec::new())),
        other => panic!("{name}: {other} has no type in Python here"),
    };
    match &value["type"] {
        Value::Array(kinds) => kinds.iter().map(one).collect::<Vec<_>>().join(" | "),
        kind => one(kind),
    }
}

/// The names under which serde reads the fields of a struct, in their order.
fn fields_of<T: for<'de> Deserialize<'de>>() -> Vec<&'static str> {
    struct Fields<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("no struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields.to_vec();
            Err(Error::custom("names alone"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields = Vec::new();
    let _ = T::deserialize(Fields(&mut fields));
    assert!(!fields.is_empty());
    fields
}
