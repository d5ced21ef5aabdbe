//! The generated messages, clients and servers of package `rollcall.v1`.

/// Package `rollcall.v1`, generated from `proto/`.
#[expect(clippy::all, clippy::allow_attributes, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("rollcall.v1");
}

/// The encoded `FileDescriptorSet` of the package with its imports and comments, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
