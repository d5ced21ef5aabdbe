-- Replicas of the logs, and the bases that they are rebuilt from.

-- The state of a session as it was at one place of its log, copied by one statement. A checkpoint is kept for later
-- rebuilds, a full base is made for one. The digest is written once the copy was read back and proven: without one, and
-- whenever it does not hold, a base is not trusted.
create table session_bases (
    id uuid not null,
    session_id uuid not null,
    kind text not null,
    seq bigint not null,
    hash bytea not null,
    events bigint not null,
    digest bytea,
    created_at timestamptz not null default now(),
    constraint session_bases_pkey primary key (id),
    constraint session_bases_session_fkey foreign key (session_id) references sessions (id),
    constraint session_bases_kind_known check (kind in ('checkpoint', 'full_base')),
    constraint session_bases_seq_not_negative check (seq >= 0),
    constraint session_bases_events_not_negative check (events >= 0),
    constraint session_bases_hash_length check (octet_length(hash) = 32),
    constraint session_bases_digest_length check (octet_length(digest) = 32)
);
create index session_bases_session_idx on session_bases (session_id, seq);

create table session_base_events (
    base_id uuid not null,
    seq bigint not null,
    event_id uuid not null,
    epoch bigint not null,
    envelope_version text not null,
    type text not null,
    key text not null,
    actor text not null,
    content_type text not null,
    payload bytea not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    prev_hash bytea not null,
    hash bytea not null,
    constraint session_base_events_pkey primary key (base_id, seq),
    constraint session_base_events_base_fkey
        foreign key (base_id) references session_bases (id) on delete cascade,
    constraint session_base_events_seq_positive check (seq > 0)
);

-- What is durably known of a replica: what it has, or that it needs a rebuild.
create table replicas (
    session_id uuid not null,
    node_key bigint not null,
    acknowledged_seq bigint,
    acknowledged_hash bytea,
    acknowledged_at timestamptz,
    -- Why it needs a rebuild. It holds nothing of the log then.
    needs_rebuild text,
    constraint replicas_pkey primary key (session_id, node_key),
    constraint replicas_session_fkey foreign key (session_id) references sessions (id),
    constraint replicas_node_fkey foreign key (node_key) references runtime_nodes (node_key) on delete cascade,
    constraint replicas_acknowledged_whole check (
        num_nulls(acknowledged_seq, acknowledged_hash, acknowledged_at) in (0, 3)
    ),
    constraint replicas_acknowledged_not_negative check (acknowledged_seq >= 0),
    constraint replicas_hash_length check (octet_length(acknowledged_hash) = 32),
    constraint replicas_known check (acknowledged_seq is not null or needs_rebuild is not null)
);
create index replicas_node_idx on replicas (node_key);

create trigger session_bases_fence before insert or update or delete or truncate on session_bases
    for each statement execute function refuse_former_leaders();
create trigger session_base_events_fence before insert or update or delete or truncate on session_base_events
    for each statement execute function refuse_former_leaders();
create trigger replicas_fence before insert or update or delete or truncate on replicas
    for each statement execute function refuse_former_leaders();
