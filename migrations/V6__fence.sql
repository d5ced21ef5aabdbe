-- The fence: what a former leader sends late changes nothing.

-- A term is named by its epoch and a random token together: a standby of Postgres that was promoted without the last
-- commits could give out an epoch a second time, but never a token. The holder renews the row for as long as it holds
-- the lock, so that who waits can tell a holder that is stuck from one that works.
alter table leadership
    add column token uuid not null default gen_random_uuid(),
    add column state text not null default 'released',
    -- The session that holds the lock. A process id alone is given out again.
    add column holder_pid integer,
    add column holder_backend_start timestamptz,
    add column lease interval,
    add column renewals bigint not null default 0,
    add column renewed_at timestamptz,
    -- Which Postgres the epoch was last raised on. Another one may have lost commits.
    add column system_identifier bigint,
    add column timeline integer,
    -- Servers with different lock numbers would lead side by side: the first leader's is the installation's.
    add column lock_namespace bigint,
    add constraint leadership_state_known check (state in ('won', 'recovering', 'active', 'released')),
    add constraint leadership_lease_positive check (lease > interval '0');

-- Duties that hung and took a leader with them. One that hangs wherever it runs must not pass leadership round for ever.
create table leadership_abdications (
    duty text not null,
    epoch bigint not null,
    at timestamptz not null default now(),
    constraint leadership_abdications_pkey primary key (duty)
);

-- Refuses a statement of a session whose term is over, and of one that names none.
--
-- The shared lock is held until the transaction ends, and a new leader raises the epoch under the exclusive one: what
-- passed here has ended before the next term begins. The comparison is a statement of its own, so that its snapshot is
-- taken after the lock was had. For that it needs VOLATILE and READ COMMITTED: in a snapshot taken before the wait the
-- former term still stands.
--
-- Repair by hand says so: set rollcall.epoch = 'by-hand'.
create function refuse_former_leaders() returns trigger language plpgsql volatile as $$
declare
    mine constant text := coalesce(current_setting('rollcall.epoch', true), '');
    current_term text;
begin
    if mine = 'by-hand' then
        return null;
    end if;
    if mine = '' then
        raise exception using
            errcode = 'RC002',
            message = format('%I is written by the leader alone, and this session names no term', tg_table_name),
            hint = 'To repair by hand, while no server runs: set rollcall.epoch = ''by-hand''';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using
            errcode = 'RC003',
            message = format('%I is written in READ COMMITTED alone: an older snapshot hides that a term is over', tg_table_name);
    end if;
    -- 'roll', and the number of the table: two installations in one database do not wait for each other.
    perform pg_advisory_xact_lock_shared(1919904876, 'leadership'::regclass::oid::integer);
    select epoch || '/' || token into current_term from leadership;
    if current_term is distinct from mine then
        raise exception using
            errcode = 'RC001',
            message = format('the term %s is over, %I is left as it is', split_part(mine, '/', 1), tg_table_name);
    end if;
    return null;
end
$$;

create trigger participants_fence before insert or update or delete or truncate on participants
    for each statement execute function refuse_former_leaders();
create trigger sessions_fence before insert or update or delete or truncate on sessions
    for each statement execute function refuse_former_leaders();
create trigger session_memberships_fence before insert or update or delete or truncate on session_memberships
    for each statement execute function refuse_former_leaders();
create trigger runtime_nodes_fence before insert or update or delete or truncate on runtime_nodes
    for each statement execute function refuse_former_leaders();
create trigger runtime_node_attachments_fence
    before insert or update or delete or truncate on runtime_node_attachments
    for each statement execute function refuse_former_leaders();
create trigger attachment_spans_fence before insert or update or delete or truncate on attachment_spans
    for each statement execute function refuse_former_leaders();
create trigger runtime_node_presence_fence before insert or update or delete or truncate on runtime_node_presence
    for each statement execute function refuse_former_leaders();
create trigger service_windows_fence before insert or update or delete or truncate on service_windows
    for each statement execute function refuse_former_leaders();
create trigger past_service_fence before insert or update or delete or truncate on past_service
    for each statement execute function refuse_former_leaders();
create trigger presence_brake_fence before insert or update or delete or truncate on presence_brake
    for each statement execute function refuse_former_leaders();
create trigger revoked_tokens_fence before insert or update or delete or truncate on revoked_tokens
    for each statement execute function refuse_former_leaders();
create trigger issued_tokens_fence before insert or update or delete or truncate on issued_tokens
    for each statement execute function refuse_former_leaders();
create trigger join_tokens_fence before insert or update or delete or truncate on join_tokens
    for each statement execute function refuse_former_leaders();
create trigger audit_entries_fence before insert or update or delete or truncate on audit_entries
    for each statement execute function refuse_former_leaders();
create trigger request_answers_fence before insert or update or delete or truncate on request_answers
    for each statement execute function refuse_former_leaders();
create trigger maintenance_fence before insert or update or delete or truncate on maintenance
    for each statement execute function refuse_former_leaders();
create trigger leadership_abdications_fence
    before insert or update or delete or truncate on leadership_abdications
    for each statement execute function refuse_former_leaders();
