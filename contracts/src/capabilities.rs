//! What a node declares that it can do: parsed from the wire, stored as JSON, assessed against what this build knows.
//!
//! Two kinds of fault are kept apart. A malformed declaration, or one over a limit, is refused and nothing is stored.
//! A well-formed one that names something this build does not know is stored, and the node is degraded with the
//! reasons: the daemon may be newer than the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{limits, refusal::FieldViolation, text, version::EventEnvelopeVersion, wire::v1};

/// MAJOR of capability contracts that this build knows.
const CONTRACT_MAJOR: &str = "1";

/// Features that this build knows.
pub const FEATURES: &[&str] =
    &["resume", "steer", "interactive_requests", "mcp", "tool_calls", "reasoning_stream", "model_mutation"];

/// A whole declaration, by capability key. Its JSON form is what the database holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Declaration(BTreeMap<String, Capability>);

/// One capability, without its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Capability {
    contract_version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    features: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tools: BTreeMap<String, Tool>,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    details: serde_json::Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tool {
    idempotency_class: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
}

/// Something declared that this build does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// What kind of thing.
    pub kind: UnsupportedKind,
    /// Capability that names it.
    pub capability_key: String,
    /// The name or number that is not known.
    pub value: String,
}

/// Kind of thing that this build does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnsupportedKind {
    /// MAJOR of a contract.
    ContractVersion,
    /// Optional part of a contract.
    Feature,
    /// What a repeat of a tool call means.
    IdempotencyClass,
}

impl Declaration {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The declared keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Parses a declaration from the wire.
    ///
    /// # Errors
    ///
    /// The violation names the field, by position below `declaration`.
    pub fn parse(wire: v1::Declaration) -> Result<Self, FieldViolation> {
        if wire.capabilities.len() > limits::CAPABILITIES_MAX {
            return Err(FieldViolation::new(
                "declaration.capabilities",
                format!("must have at most {} entries", limits::CAPABILITIES_MAX),
            ));
        }
        let mut capabilities = BTreeMap::new();
        for (index, capability) in wire.capabilities.into_iter().enumerate() {
            let path = format!("declaration.capabilities[{index}]");
            let (key, capability) =
                Capability::parse(capability).map_err(|violation| violation.within(&path))?;
            if capabilities.insert(key, capability).is_some() {
                return Err(FieldViolation::new(format!("{path}.key"), "must be unique in the declaration"));
            }
        }
        let declaration = Self(capabilities);
        let bytes = serde_json::to_vec(&declaration).map_err(|error| {
            FieldViolation::new("declaration", format!("cannot be stored as JSON: {error}"))
        })?;
        if bytes.len() > limits::DECLARATION_BYTES_MAX {
            return Err(FieldViolation::new(
                "declaration",
                format!(
                    "must have at most {} bytes as JSON, this has {}",
                    limits::DECLARATION_BYTES_MAX,
                    bytes.len()
                ),
            ));
        }
        Ok(declaration)
    }

    /// All that is declared and not known to this build. Empty means that the node may be online.
    pub fn unsupported(&self) -> Vec<Unsupported> {
        self.0.iter().flat_map(|(key, capability)| capability.unsupported(key)).collect()
    }

    /// The declaration as the wire shows it.
    pub fn to_wire(&self) -> v1::Declaration {
        v1::Declaration {
            capabilities: self.0.iter().map(|(key, capability)| capability.to_wire(key)).collect(),
        }
    }
}

impl Capability {
    fn parse(wire: v1::Capability) -> Result<(String, Self), FieldViolation> {
        let v1::Capability { key, contract_version, features, tools, details } = wire;
        let key = text::required("key", &key, limits::CAPABILITY_KEY_CHARS_MAX)?;
        let contract_version: EventEnvelopeVersion = contract_version
            .parse()
            .map_err(|error| FieldViolation::new("contract_version", format!("{error}")))?;
        if features.len() > limits::FEATURES_MAX {
            let rule = format!("must have at most {} entries", limits::FEATURES_MAX);
            return Err(FieldViolation::new("features", rule));
        }
        let mut features = features
            .iter()
            .map(|feature| text::required("features", feature, limits::FEATURE_CHARS_MAX))
            .collect::<Result<Vec<_>, _>>()?;
        features.sort();
        features.dedup();
        if tools.len() > limits::TOOLS_MAX {
            let rule = format!("must have at most {} entries", limits::TOOLS_MAX);
            return Err(FieldViolation::new("tools", rule));
        }
        let mut parsed_tools = BTreeMap::new();
        for (index, tool) in tools.into_iter().enumerate() {
            let path = format!("tools[{index}]");
            let (name, tool) = Tool::parse(tool).map_err(|violation| violation.within(&path))?;
            if parsed_tools.insert(name, tool).is_some() {
                return Err(FieldViolation::new(format!("{path}.name"), "must be unique in the capability"));
            }
        }
        let details = json_object(details.unwrap_or_default(), limits::DETAILS_DEPTH_MAX)
            .map_err(|rule| FieldViolation::new("details", rule))?;
        Ok((
            key,
            Self { contract_version: contract_version.to_string(), features, tools: parsed_tools, details },
        ))
    }

    fn unsupported(&self, key: &str) -> Vec<Unsupported> {
        let unsupported = |kind, value: String| Unsupported { kind, capability_key: key.to_owned(), value };
        let mut all = Vec::new();
        if self.contract_version.split('.').next() != Some(CONTRACT_MAJOR) {
            all.push(unsupported(UnsupportedKind::ContractVersion, self.contract_version.clone()));
        }
        for feature in &self.features {
            if !FEATURES.contains(&feature.as_str()) {
                all.push(unsupported(UnsupportedKind::Feature, feature.clone()));
            }
        }
        for (name, tool) in &self.tools {
            if v1::IdempotencyClass::try_from(tool.idempotency_class).is_err() {
                let value = format!("{} of tool {name}", tool.idempotency_class);
                all.push(unsupported(UnsupportedKind::IdempotencyClass, value));
            }
        }
        all
    }

    fn to_wire(&self, key: &str) -> v1::Capability {
        v1::Capability {
            key: key.to_owned(),
            contract_version: self.contract_version.clone(),
            features: self.features.clone(),
            tools: self
                .tools
                .iter()
                .map(|(name, tool)| v1::Tool {
                    name: name.clone(),
                    idempotency_class: tool.idempotency_class,
                    description: tool.description.clone(),
                })
                .collect(),
            details: (!self.details.is_empty()).then(|| wire_struct(&self.details)),
        }
    }
}

impl Tool {
    fn parse(wire: v1::Tool) -> Result<(String, Self), FieldViolation> {
        let v1::Tool { name, idempotency_class, description } = wire;
        let name = text::required("name", &name, limits::TOOL_NAME_CHARS_MAX)?;
        if idempotency_class == v1::IdempotencyClass::Unspecified as i32 {
            return Err(FieldViolation::new("idempotency_class", "is required"));
        }
        let description = text::optional("description", &description, limits::TOOL_DESCRIPTION_CHARS_MAX)?;
        Ok((name, Self { idempotency_class, description: description.unwrap_or_default() }))
    }
}

/// Turns a wire struct into JSON that Postgres can store: no NUL, no NaN, bounded depth.
fn json_object(
    wire: prost_types::Struct,
    depth_left: usize,
) -> Result<serde_json::Map<String, Value>, String> {
    wire.fields
        .into_iter()
        .map(|(name, value)| {
            if name.contains('\0') {
                return Err("must not contain NUL characters".to_owned());
            }
            json_value(value, depth_left).map(|value| (name, value))
        })
        .collect()
}

fn json_value(wire: prost_types::Value, depth_left: usize) -> Result<Value, String> {
    use prost_types::value::Kind;

    let deeper = || {
        depth_left
            .checked_sub(1)
            .filter(|left| *left > 0)
            .ok_or_else(|| format!("must nest at most {} levels deep", limits::DETAILS_DEPTH_MAX))
    };
    match wire.kind {
        None | Some(Kind::NullValue(_)) => Ok(Value::Null),
        Some(Kind::BoolValue(value)) => Ok(Value::Bool(value)),
        Some(Kind::NumberValue(number)) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or("must have finite numbers".to_owned()),
        Some(Kind::StringValue(value)) if value.contains('\0') => {
            Err("must not contain NUL characters".to_owned())
        }
        Some(Kind::StringValue(value)) => Ok(Value::String(value)),
        Some(Kind::StructValue(object)) => json_object(object, deeper()?).map(Value::Object),
        Some(Kind::ListValue(list)) => {
            let left = deeper()?;
            list.values
                .into_iter()
                .map(|value| json_value(value, left))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
    }
}

fn wire_struct(object: &serde_json::Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct {
        fields: object.iter().map(|(name, value)| (name.clone(), wire_value(value))).collect(),
    }
}

fn wire_value(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;

    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        // Only finite doubles are ever stored, and each JSON number of ours reads back as one.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(value) => Kind::StringValue(value.clone()),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.iter().map(wire_value).collect() })
        }
        Value::Object(object) => Kind::StructValue(wire_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
