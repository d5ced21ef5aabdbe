//! The methods of the package, by request path, as the descriptors tell of them.

use std::{collections::HashMap, sync::LazyLock};

use contracts::wire;
use prost::Message;
use prost_types::FileDescriptorSet;

/// A method of the package.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// Name of its service, without the package.
    pub(crate) service: String,
    /// Its own name.
    pub(crate) name: String,
    /// Whether it streams, in either direction.
    pub(crate) is_stream: bool,
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let Ok(descriptors) = FileDescriptorSet::decode(wire::DESCRIPTORS) else { return HashMap::new() };
    let mut methods = HashMap::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let method = Method {
                    service: service.name().to_owned(),
                    name: method.name().to_owned(),
                    is_stream: method.client_streaming() || method.server_streaming(),
                };
                methods.insert(path, method);
            }
        }
    }
    methods
});

/// The method of a request path, if it is one of the package.
pub(crate) fn method(path: &str) -> Option<&'static Method> {
    METHODS.get(path)
}
