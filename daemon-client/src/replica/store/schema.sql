-- One row: what this file is.
create table replica (
    id integer primary key check (id = 1),
    session_id blob not null check (length(session_id) = 16)
) strict;

-- A stretch of a log: a base, and the events after it. The replica itself is the `current` one. A
-- `staged` one is being received beside it, an `aside` one is what was cut off or replaced, and of a `dropped` one the
-- events are being deleted. What makes another strand the current one is the change of two words in one transaction.
create table strands (
    id integer primary key autoincrement,
    part text not null check (part in ('current', 'staged', 'aside', 'dropped')),
    history_id blob check (length(history_id) = 16),
    -- It begins after this place. Events at or before it are its base: the latest for each key, and not a chain.
    base_seq integer not null check (base_seq >= 0),
    base_hash blob not null check (length(base_hash) = 32),
    base_events integer not null check (base_events >= 0),
    -- Absent where there is no base, and while one is being received.
    base_digest blob check (length(base_digest) = 32),
    -- Where the strand ends.
    seq integer not null check (seq >= base_seq),
    hash blob not null check (length(hash) = 32),
    events integer not null check (events >= 0),
    bytes integer not null check (bytes >= 0),
    -- Of what was kept aside: when (Unix seconds), why, and how much of its beginning was dropped for want of room.
    kept_at integer,
    why text,
    dropped_events integer not null default 0,
    dropped_bytes integer not null default 0,
    constraint strands_end_beyond_origin_has_a_history check (seq = 0 or history_id is not null),
    constraint strands_aside_says_when_and_why check (part <> 'aside' or (kept_at is not null and why is not null))
) strict;

create unique index strands_one_current on strands (part) where part = 'current';
create unique index strands_one_staged on strands (part) where part = 'staged';

create table events (
    strand integer not null references strands (id),
    seq integer not null check (seq > 0),
    event_id blob not null check (length(event_id) = 16),
    -- 64 bits without a sign, as SQLite has them with one.
    epoch integer not null,
    envelope_version text not null,
    type text not null,
    key text,
    actor text not null,
    content_type text not null,
    payload blob not null,
    occurred_at integer not null,
    recorded_at integer not null,
    prev_hash blob not null check (length(prev_hash) = 32),
    hash blob not null check (length(hash) = 32),
    primary key (strand, seq)
) strict;

create index events_by_key on events (strand, key, seq) where key is not null;
