-- What is forgotten on purpose and when, and what repeats of requests about tokens need.

-- Service of the past. A window of service that no threshold of silence reaches back to is dropped, and counted here:
-- whether a node may be forgotten is judged in service time, too. One row for the windows that began to count on one
-- day, which stand as one that began with the first of them and ended without a gap: never later than they were.
create table past_service (
    day date not null,
    counts_from timestamptz not null,
    counts_until timestamptz not null,
    constraint past_service_pkey primary key (day),
    constraint past_service_until_after_from check (counts_until >= counts_from)
);

-- By these the old rows are found; the audit is looked through by its ids, which rise with time.
create index attachment_spans_ended_idx on attachment_spans (ended_at) where ended_at is not null;
create index revoked_tokens_expires_idx on revoked_tokens (expires_at);
create index join_tokens_expires_idx on join_tokens (expires_at);

-- A token that was renewed belongs to the family of the one that was presented: to revoke one is to revoke them all.
-- Empty for the first of a family, whose own id is the family's.
alter table issued_tokens add column family_id uuid;
create index issued_tokens_family_idx on issued_tokens (family_id) where family_id is not null;

-- The id of a join token is a UUID like any other. What was made under the former kind of id would have been over
-- within a week.
delete from join_tokens;
alter table join_tokens alter column id type uuid using id::uuid;

-- One rule says it: the states are those that have a cause.
alter table runtime_node_presence drop constraint runtime_node_presence_health_state_known;
