//! Every bound on what the wire may carry, in one place. A change here is a change of contract.

/// Characters of a node id.
pub const NODE_ID_CHARS_MAX: usize = 256;
/// Characters of a version, `MAJOR.MINOR`.
pub const VERSION_CHARS_MAX: usize = 64;
/// Characters of a session's name.
pub const SESSION_NAME_CHARS_MAX: usize = 128;
/// Characters of a reason that a person or daemon gives.
pub const REASON_CHARS_MAX: usize = 512;

/// Capabilities in a declaration.
pub const CAPABILITIES_MAX: usize = 64;
/// Characters of a capability's key.
pub const CAPABILITY_KEY_CHARS_MAX: usize = 128;
/// Features of a capability.
pub const FEATURES_MAX: usize = 64;
/// Characters of a feature.
pub const FEATURE_CHARS_MAX: usize = 64;
/// Tools of a capability.
pub const TOOLS_MAX: usize = 128;
/// Characters of a tool's name.
pub const TOOL_NAME_CHARS_MAX: usize = 128;
/// Characters of a tool's description.
pub const TOOL_DESCRIPTION_CHARS_MAX: usize = 512;
/// Levels of nesting in a capability's free-form details.
pub const DETAILS_DEPTH_MAX: usize = 16;
/// Bytes of a whole declaration as stored.
pub const DECLARATION_BYTES_MAX: usize = 64 * 1024;

/// Beats in one batch of a heartbeat stream.
pub const BEATS_PER_BATCH_MAX: usize = 4_096;
/// Bytes of one request message.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Items on a page when the caller does not say.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Items on a page at most.
pub const PAGE_SIZE_MAX: usize = 1_000;
/// Characters of a page token or a watch revision.
pub const TOKEN_CHARS_MAX: usize = 1_024;

/// Active nodes a session holds unless the server is told otherwise.
pub const ACTIVE_NODES_PER_SESSION_DEFAULT: u32 = 1_000;

/// Characters of an event's type.
pub const EVENT_TYPE_CHARS_MAX: usize = 128;
/// Characters of an event's key: a node's id fits with a word before it.
pub const EVENT_KEY_CHARS_MAX: usize = 512;
/// Characters of a payload's content type.
pub const CONTENT_TYPE_CHARS_MAX: usize = 128;
/// Bytes of an event's payload.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Events in one append, which is all or nothing.
pub const EVENTS_PER_APPEND_MAX: usize = 512;
/// Keys that a session's state holds.
pub const STATE_KEYS_PER_SESSION_MAX: u64 = 100_000;
/// Events, and points, in one message of a replication stream.
pub const EVENTS_PER_MESSAGE_MAX: usize = 512;
/// Bytes of payloads in one message of a replication stream, unless it holds a single event.
pub const EVENT_BYTES_PER_MESSAGE_MAX: usize = 1024 * 1024;
