//! The AsyncAPI document, and a checker for the part of JSON Schema that it uses. A keyword that the checker does not know
//! fails the test, so that nothing in the document goes unchecked.

use serde_json::Value;

/// `docs/asyncapi.yaml`.
pub struct Document(Value);

impl Document {
    /// Reads it.
    pub fn read() -> Self {
        Self::of(include_str!("../../docs/asyncapi.yaml"))
    }

    /// Another one.
    pub fn of(text: &str) -> Self {
        Self(yaml_serde::from_str(text).unwrap())
    }

    /// Its root.
    pub fn root(&self) -> &Value {
        &self.0
    }

    /// What a reference stands for; anything else is itself.
    pub fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
        let place = reference.strip_prefix('#').unwrap();
        self.follow(self.0.pointer(place).unwrap_or_else(|| panic!("{reference} leads nowhere")))
    }

    /// The schema of that name.
    pub fn schema(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    /// The channel whose address fits a topic.
    pub fn channel(&self, topic: &str) -> Option<(&str, &Value)> {
        let fits = |channel: &Value| {
            let (address, topic) = (channel["address"].as_str().unwrap().split('/'), topic.split('/'));
            address.clone().count() == topic.clone().count()
                && address.zip(topic).all(|(level, word)| match level.strip_prefix('{') {
                    None => level == word,
                    Some(name) => self.allows(channel, name.trim_end_matches('}'), word),
                })
        };
        let mut found = self.0["channels"].as_object().unwrap().iter().filter(|(_, channel)| fits(channel));
        let first = found.next().map(|(name, channel)| (name.as_str(), channel));
        assert!(found.next().is_none(), "{topic} fits two channels");
        first
    }

    fn allows(&self, channel: &Value, parameter: &str, word: &str) -> bool {
        let parameter = self.follow(&channel["parameters"][parameter]);
        assert!(parameter.is_object(), "a level without a parameter in {channel}");
        parameter.get("enum").is_none_or(|words| words.as_array().unwrap().contains(&word.into()))
    }

    /// What is wrong with a message on `topic`.
    pub fn faults(&self, topic: &str, payload: &str) -> Vec<String> {
        let Some((_, channel)) = self.channel(topic) else { return vec![format!("no channel for {topic}")] };
        let mut all = Vec::new();
        for message in channel["messages"].as_object().unwrap().values() {
            let message = self.follow(message);
            let plain = message["contentType"] == "text/plain";
            let value =
                if plain { payload.into() } else { serde_json::from_str(payload).unwrap_or_default() };
            let faults = self.check(&message["payload"], &value, topic);
            if faults.is_empty() {
                return faults;
            }
            all.extend(faults);
        }
        all
    }

    /// What is wrong with `value` under `schema`.
    pub fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (keyword, rule) in schema.as_object().unwrap_or_else(|| panic!("{schema} is no schema")) {
            let fine = match keyword.as_str() {
                "description" | "format" | "default" | "title" | "$schema" => true,
                "$ref" => {
                    faults.extend(self.check(self.follow(schema), value, at));
                    true
                }
                "type" => types(rule).any(|name| is(value, name)),
                "enum" => rule.as_array().unwrap().contains(value),
                "const" => rule == value,
                "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
                "pattern" => value.as_str().is_none_or(|text| {
                    regex_lite::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)
                }),
                "maxLength" => {
                    value.as_str().is_none_or(|s| s.chars().count() as u64 <= rule.as_u64().unwrap())
                }
                "minItems" => value.as_array().is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
                "maxItems" => value.as_array().is_none_or(|a| a.len() as u64 <= rule.as_u64().unwrap()),
                "oneOf" => {
                    let fits = |one: &&Value| self.check(one, value, at).is_empty();
                    rule.as_array().unwrap().iter().filter(fits).count() == 1
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        faults.extend(self.check(rule, item, &format!("{at}[{index}]")));
                    }
                    true
                }
                "required" => {
                    let names = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                    let missing = |name: &&str| value.is_object() && value.get(name).is_none();
                    faults.extend(names.filter(missing).map(|name| format!("{at}: {name} is missing")));
                    true
                }
                "properties" => {
                    for (name, rule) in rule.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            faults.extend(self.check(rule, value, &format!("{at}.{name}")));
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = |name: &str| schema.get("properties").is_some_and(|p| p.get(name).is_some());
                    for (name, value) in value.as_object().into_iter().flatten().filter(|(n, _)| !known(n)) {
                        match rule {
                            Value::Bool(true) => {}
                            Value::Bool(false) => faults.push(format!("{at}: {name} is not described")),
                            rule => faults.extend(self.check(rule, value, &format!("{at}.{name}"))),
                        }
                    }
                    true
                }
                other => panic!("the checker does not know {other}"),
            };
            if !fine {
                faults.push(format!("{at}: {value} against {keyword} {rule}"));
            }
        }
        faults
    }
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
    several.iter().map(|name| name.as_str().unwrap())
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}
