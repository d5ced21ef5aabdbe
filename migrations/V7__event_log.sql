-- The logs of the sessions: durable, gapless, hash-chained.

-- One row. The course of events that this database holds; a restore begins another one.
create table control_plane (
    only_row boolean not null default true,
    history_id uuid not null default gen_random_uuid(),
    constraint control_plane_pkey primary key (only_row),
    constraint control_plane_one_row check (only_row)
);
insert into control_plane default values;

-- One row: the last position that was given out, over the events of all sessions. It is locked last of all and until
-- the commit, so the order of positions is the order of commits: whoever has read up to a position has missed nothing.
create table log_position (
    only_row boolean not null default true,
    last bigint not null default 0,
    constraint log_position_pkey primary key (only_row),
    constraint log_position_one_row check (only_row),
    constraint log_position_not_negative check (last >= 0)
);
insert into log_position default values;

-- Where the log of a session begins and ends. Its lock is what makes appends of a session follow each other, and what
-- appends are judged by (the session, its members, their nodes) changes under it. Made by the first event of the session:
-- the hash at the origin is computed by the server.
--
-- What is retained is cheap to know: events are head - tail, bytes are counted here, and the age is that of the first
-- event after the tail.
create table session_logs (
    session_id uuid not null,
    head bigint not null default 0,
    head_hash bytea not null,
    -- Up to where it was pruned: the events after it are there.
    tail bigint not null default 0,
    tail_hash bytea not null,
    retained_bytes bigint not null default 0,
    state_keys bigint not null default 0,
    constraint session_logs_pkey primary key (session_id),
    constraint session_logs_session_fkey foreign key (session_id) references sessions (id),
    constraint session_logs_tail_not_negative check (tail >= 0),
    constraint session_logs_tail_not_after_head check (tail <= head),
    constraint session_logs_same_place_same_hash check (tail <> head or tail_hash = head_hash),
    constraint session_logs_head_hash_length check (octet_length(head_hash) = 32),
    constraint session_logs_tail_hash_length check (octet_length(tail_hash) = 32),
    constraint session_logs_retained_bytes_not_negative check (retained_bytes >= 0),
    constraint session_logs_state_keys_not_negative check (state_keys >= 0)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- The events. Only appended to, and pruned from the tail on. No foreign key: the row of the log is written in the same
-- statement, and a check for every event would buy nothing.
create table session_events (
    session_id uuid not null,
    seq bigint not null,
    position bigint not null,
    event_id uuid not null,
    epoch bigint not null,
    envelope_version text not null,
    type text not null,
    key text,
    actor text not null,
    content_type text not null,
    payload bytea not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    prev_hash bytea not null,
    hash bytea not null,
    constraint session_events_pkey primary key (session_id, seq),
    constraint session_events_event_id_key unique (session_id, event_id),
    constraint session_events_position_key unique (position),
    constraint session_events_seq_positive check (seq > 0),
    constraint session_events_position_positive check (position > 0),
    constraint session_events_epoch_not_negative check (epoch >= 0),
    constraint session_events_envelope_version_format check (
        envelope_version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$' and char_length(envelope_version) <= 64
    ),
    constraint session_events_type_length check (char_length(type) between 1 and 128),
    constraint session_events_key_length check (char_length(key) between 1 and 512),
    constraint session_events_actor_known check (actor = 'server' or actor ~ '^(participant|node)/.'),
    constraint session_events_content_type_length check (char_length(content_type) between 1 and 128),
    constraint session_events_payload_length check (octet_length(payload) <= 262144),
    constraint session_events_prev_hash_length check (octet_length(prev_hash) = 32),
    constraint session_events_hash_length check (octet_length(hash) = 32)
);

-- The latest event of each key. A copy of the whole event, for events are pruned and the state is not. No index by number:
-- a base that is read in that order is sorted, which is rare, and the index would be written by every event with a key.
create table session_state (
    session_id uuid not null,
    -- Ordered by bytes, whatever the database's collation.
    key text collate "C" not null,
    seq bigint not null,
    event_id uuid not null,
    epoch bigint not null,
    envelope_version text not null,
    type text not null,
    actor text not null,
    content_type text not null,
    payload bytea not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    prev_hash bytea not null,
    hash bytea not null,
    constraint session_state_pkey primary key (session_id, key),
    constraint session_state_seq_positive check (seq > 0),
    constraint session_state_key_length check (char_length(key) between 1 and 512),
    constraint session_state_hash_length check (octet_length(hash) = 32)
) with (fillfactor = 80);

create trigger control_plane_fence before insert or update or delete or truncate on control_plane
    for each statement execute function refuse_former_leaders();
create trigger log_position_fence before insert or update or delete or truncate on log_position
    for each statement execute function refuse_former_leaders();
create trigger session_logs_fence before insert or update or delete or truncate on session_logs
    for each statement execute function refuse_former_leaders();
create trigger session_events_fence before insert or update or delete or truncate on session_events
    for each statement execute function refuse_former_leaders();
create trigger session_state_fence before insert or update or delete or truncate on session_state
    for each statement execute function refuse_former_leaders();
