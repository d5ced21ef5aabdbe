-- Participants own nodes; sessions are what nodes attach to.

create table participants (
    id uuid not null,
    created_at timestamptz not null default now(),
    constraint participants_pkey primary key (id)
);

-- A floor only ever rises; the statement that raises it compares, since an order of digit strings of any length is
-- not worth a function in SQL. The check keeps what no reader could parse out of the table.
create table sessions (
    id uuid not null,
    name text not null,
    state text not null default 'active',
    min_client_version text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint sessions_pkey primary key (id),
    constraint sessions_name_length check (char_length(name) between 1 and 128),
    constraint sessions_state_known check (state in ('active', 'archived', 'closed')),
    constraint sessions_min_client_version_format check (
        min_client_version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$' and char_length(min_client_version) <= 64
    )
);

-- Who may use a session, and as what. Attach and detach never write here, and nothing here moves an attachment.
create table session_memberships (
    session_id uuid not null,
    participant_id uuid not null,
    role text not null,
    state text not null,
    joined_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint session_memberships_pkey primary key (session_id, participant_id),
    constraint session_memberships_session_fkey foreign key (session_id) references sessions (id),
    constraint session_memberships_participant_fkey foreign key (participant_id) references participants (id),
    constraint session_memberships_role_known
        check (role in ('owner', 'collaborator', 'runtime_contributor', 'viewer')),
    constraint session_memberships_state_known check (state in ('pending', 'active', 'suspended', 'revoked'))
);
create index session_memberships_participant_idx on session_memberships (participant_id, session_id);
