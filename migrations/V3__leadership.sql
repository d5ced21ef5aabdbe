-- Who leads, and when the service was there to hear anybody.

-- One row. The epoch rises with every leader and numbers what it writes.
create table leadership (
    only_row boolean not null default true,
    epoch bigint not null default 0,
    holder_address text,
    since timestamptz,
    constraint leadership_pkey primary key (only_row),
    constraint leadership_one_row check (only_row),
    constraint leadership_epoch_not_negative check (epoch >= 0)
);
insert into leadership default values;

-- Stretches of time in which beats were committed, by the database's clock. Silence is counted in them, from
-- counts_from on: one cadence after the window opened, when every living node had its turn to be heard.
create table service_windows (
    id bigint not null generated always as identity,
    epoch bigint not null,
    opened_at timestamptz not null,
    counts_from timestamptz not null,
    proven_until timestamptz not null,
    constraint service_windows_pkey primary key (id),
    constraint service_windows_counts_from_opening check (counts_from >= opened_at),
    constraint service_windows_proven_from_opening check (proven_until >= opened_at)
);

-- The mass-offline brake. One row, so that a takeover neither restarts nor forgets a hold.
create table presence_brake (
    only_row boolean not null default true,
    held_since timestamptz,
    constraint presence_brake_pkey primary key (only_row),
    constraint presence_brake_one_row check (only_row)
);
insert into presence_brake default values;
