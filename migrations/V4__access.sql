-- Tokens that ended early, tokens to come by, what was done by whom, and answers to repeat.

-- Checked against every token; a row may go once its token would have expired by itself. Numbered, so that servers ask
-- only for what is new.
create table revoked_tokens (
    id bigint not null generated always as identity,
    token_id uuid not null,
    expires_at timestamptz not null,
    revoked_at timestamptz not null default now(),
    constraint revoked_tokens_pkey primary key (id),
    constraint revoked_tokens_token_id_key unique (token_id)
);

-- What was issued, so that a token can be revoked by its id alone. Never the token itself.
create table issued_tokens (
    token_id uuid not null,
    participant_id uuid not null,
    expires_at timestamptz not null,
    issued_at timestamptz not null default now(),
    constraint issued_tokens_pkey primary key (token_id),
    constraint issued_tokens_participant_fkey foreign key (participant_id) references participants (id)
);
create index issued_tokens_expires_idx on issued_tokens (expires_at);

-- A machine without a token exchanges one of these for its first. Only the hash of the secret is kept.
create table join_tokens (
    id text not null,
    secret_hash bytea not null,
    participant_id uuid not null,
    scopes text not null,
    uses_left integer not null,
    token_lifetime interval not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    constraint join_tokens_pkey primary key (id),
    constraint join_tokens_participant_fkey foreign key (participant_id) references participants (id),
    constraint join_tokens_uses_left_not_negative check (uses_left >= 0),
    constraint join_tokens_secret_hash_length check (octet_length(secret_hash) = 32)
);

-- Written in the transaction that did what it says.
create table audit_entries (
    id bigint not null generated always as identity,
    at timestamptz not null default now(),
    epoch bigint not null,
    actor_id uuid not null,
    action text not null,
    session_id uuid,
    target text not null,
    reason text,
    request_id uuid,
    constraint audit_entries_pkey primary key (id)
);
create index audit_entries_session_idx on audit_entries (session_id, id);
create index audit_entries_target_idx on audit_entries (target, id);

-- The first answer to a request that may be repeated.
create table request_answers (
    participant_id uuid not null,
    request_id uuid not null,
    method text not null,
    request_digest bytea not null,
    answer bytea not null,
    answered_at timestamptz not null default now(),
    constraint request_answers_pkey primary key (participant_id, request_id)
);
create index request_answers_answered_idx on request_answers (answered_at);

-- One row: whether writes are refused for now.
create table maintenance (
    only_row boolean not null default true,
    since timestamptz,
    reason text,
    constraint maintenance_pkey primary key (only_row),
    constraint maintenance_one_row check (only_row)
);
insert into maintenance default values;

-- A transfer ends a slot, too.
alter table attachment_spans drop constraint attachment_spans_end_cause_known;
alter table attachment_spans add constraint attachment_spans_end_cause_known
    check (end_cause in ('detached', 'superseded', 'session_closed', 'revoked', 'transferred'));

-- A generation also rises without an attach, when a node is revoked or given away: a presence whose generation was
-- emptied belongs to the slot that was attached last, whatever became of the node since.
create or replace view runtime_node_slots as
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
    and attachment.generation = coalesce(
        presence.generation,
        (select max(last.generation) from runtime_node_attachments last where last.node_key = node.node_key)
    );
