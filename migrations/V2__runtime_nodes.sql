-- Runtime nodes, their slots in sessions, and whether they are heard.

-- A node belongs to the participant that first attached it. The generation rises with every attach that activates a
-- slot and with every revocation; whoever holds an older one is a zombie. The instance is the run of the daemon that
-- attached last.
create table runtime_nodes (
    node_key bigint not null generated always as identity,
    -- Ordered by bytes, whatever the database's collation: pages are cut by it.
    node_id text collate "C" not null,
    participant_id uuid not null,
    generation bigint not null default 0,
    instance_id uuid,
    revoked_at timestamptz,
    first_seen_at timestamptz not null default now(),
    constraint runtime_nodes_pkey primary key (node_key),
    constraint runtime_nodes_node_id_key unique (node_id),
    constraint runtime_nodes_participant_fkey foreign key (participant_id) references participants (id),
    constraint runtime_nodes_node_id_length check (char_length(node_id) between 1 and 256),
    constraint runtime_nodes_generation_not_negative check (generation >= 0)
);

-- A node's slot in a session; it outlives detach, so that a node that comes back finds the same one. The revision
-- rises with every change of the row, so that whoever hears of two changes knows which one is newer.
create table runtime_node_attachments (
    id uuid not null,
    session_id uuid not null,
    node_key bigint not null,
    participant_id uuid not null,
    generation bigint not null,
    revision bigint not null default 1,
    client_version text not null,
    capabilities jsonb not null default '{}',
    state text not null default 'registering',
    reported_health text not null,
    state_reasons jsonb not null default '[]',
    attached_at timestamptz not null default now(),
    constraint runtime_node_attachments_pkey primary key (id),
    constraint runtime_node_attachments_session_fkey foreign key (session_id) references sessions (id),
    constraint runtime_node_attachments_node_fkey foreign key (node_key) references runtime_nodes (node_key),
    constraint runtime_node_attachments_participant_fkey
        foreign key (participant_id) references participants (id),
    constraint runtime_node_attachments_generation_positive check (generation > 0),
    constraint runtime_node_attachments_client_version_format check (
        client_version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$' and char_length(client_version) <= 64
    ),
    constraint runtime_node_attachments_capabilities_object check (jsonb_typeof(capabilities) = 'object'),
    constraint runtime_node_attachments_state_known
        check (state in ('registering', 'online', 'degraded', 'offline', 'revoked')),
    constraint runtime_node_attachments_reported_health_known check (reported_health in ('online', 'degraded')),
    -- Online means that something is declared.
    constraint runtime_node_attachments_online_declared check (state <> 'online' or capabilities <> '{}'),
    -- A degraded slot says why, and no other does.
    constraint runtime_node_attachments_degraded_has_reasons
        check ((state = 'degraded') = (jsonb_array_length(state_reasons) > 0))
);
create unique index runtime_node_attachments_node_session_key
    on runtime_node_attachments (node_key, session_id);
-- A node has one active slot, whatever the session. Two attaches that race are decided here.
create unique index runtime_node_attachments_one_active
    on runtime_node_attachments (node_key) where state in ('registering', 'online', 'degraded');
create index runtime_node_attachments_session_idx on runtime_node_attachments (session_id);
create index runtime_node_attachments_participant_idx on runtime_node_attachments (participant_id);

-- Who was attached where, from when to when. Only appended to, and closed once.
create table attachment_spans (
    id bigint not null generated always as identity,
    attachment_id uuid not null,
    session_id uuid not null,
    node_key bigint not null,
    participant_id uuid not null,
    generation bigint not null,
    instance_id uuid not null,
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    end_cause text,
    end_reason text,
    constraint attachment_spans_pkey primary key (id),
    constraint attachment_spans_attachment_fkey
        foreign key (attachment_id) references runtime_node_attachments (id),
    constraint attachment_spans_end_cause_known
        check (end_cause in ('detached', 'superseded', 'session_closed', 'revoked')),
    constraint attachment_spans_end_has_a_cause check ((ended_at is null) = (end_cause is null)),
    constraint attachment_spans_ends_after_start check (ended_at >= started_at)
);
create unique index attachment_spans_node_generation_key on attachment_spans (node_key, generation);
-- An instance that was superseded once is refused for ever: this finds it.
create index attachment_spans_instance_idx on attachment_spans (node_key, instance_id);
create index attachment_spans_attachment_idx on attachment_spans (attachment_id);
create index attachment_spans_session_idx on attachment_spans (session_id, started_at);

-- Whether a node is heard. One narrow row a node, written by every beat, hence the room for HOT updates and hence no
-- index but the key: an index on last_heartbeat_at would make every beat write it. The sweep scans.
--
-- The generation is empty when no slot is active, so that a late beat revives nothing. No foreign key: the row of key
-- 0 belongs to the server's own canary, and a check at every beat would buy nothing.
create table runtime_node_presence (
    node_key bigint not null,
    generation bigint,
    last_heartbeat_at timestamptz not null,
    health_state text not null,
    health_cause text not null,
    constraint runtime_node_presence_pkey primary key (node_key),
    constraint runtime_node_presence_health_state_known check (health_state in ('online', 'degraded', 'offline')),
    constraint runtime_node_presence_health_has_its_cause check (
        (health_state = 'online' and health_cause = 'self_reported')
        or (health_state = 'degraded' and health_cause in ('self_reported', 'silence'))
        or (health_state = 'offline' and health_cause in ('silence', 'detached', 'revoked'))
    )
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Slots as rosters show them. A presence belongs to the slot whose generation it carries; one whose generation was
-- emptied belongs to the slot that the node held last.
create view runtime_node_slots as
select
    attachment.id as attachment_id,
    attachment.session_id,
    node.node_id,
    node.node_key,
    node.participant_id,
    attachment.generation,
    attachment.revision,
    attachment.client_version,
    attachment.capabilities,
    attachment.state,
    attachment.state_reasons,
    attachment.attached_at,
    session.min_client_version,
    presence.health_state,
    presence.health_cause,
    presence.last_heartbeat_at
from runtime_node_attachments attachment
join runtime_nodes node using (node_key)
join sessions session on session.id = attachment.session_id
left join runtime_node_presence presence
    on presence.node_key = node.node_key
    and attachment.generation = coalesce(presence.generation, node.generation);
