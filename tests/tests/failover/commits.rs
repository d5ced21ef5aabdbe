//! What was committed in which term, as Postgres remembers it: every write of the fleet leaves a row with its epoch, and
//! the commit timestamps of these rows are compared with those of the terms.

use sqlx::Executor;
use tests::Database;

/// Writes of the leader, and terms, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Counted {
    pub(crate) writes: i64,
    pub(crate) terms: i64,
    /// Writes that were committed after the next term had begun.
    pub(crate) stale: i64,
    /// Terms whose epoch is not above the one before.
    pub(crate) falling: i64,
}

/// Makes the database remember from now on. Its Postgres has `track_commit_timestamp`.
pub(crate) async fn record(database: &Database) {
    let remember = "
        create table drill_writes (epoch bigint not null);
        create table drill_terms (epoch bigint primary key);
        create function note_write() returns trigger language plpgsql as $$
        declare term text := current_setting('rollcall.epoch', true);
        begin
            if term <> 'by-hand' then insert into drill_writes values (split_part(term, '/', 1)::bigint); end if;
            return null;
        end $$;
        create function note_term() returns trigger language plpgsql as $$
        begin
            insert into drill_terms values (new.epoch);
            return null;
        end $$;
        create trigger note_write after insert or update or delete on runtime_node_presence
            for each statement execute function note_write();
        create trigger note_write after insert or update or delete on runtime_nodes
            for each statement execute function note_write();
        create trigger note_write after insert or update or delete on attachment_spans
            for each statement execute function note_write();
        create trigger note_term after update on leadership
            for each row when (old.epoch <> new.epoch) execute function note_term();";
    database.pool.execute(sqlx::raw_sql(remember)).await.expect("triggers can be made");
}

/// Counts what is remembered.
pub(crate) async fn count(database: &Database) -> Counted {
    let count = "
        with term as (
            select epoch, pg_xact_commit_timestamp(xmin) as began,
                   lead(pg_xact_commit_timestamp(xmin)) over (order by epoch) as ended
            from drill_terms
        )
        select
            (select count(*) from drill_writes) as writes,
            (select count(*) from term) as terms,
            (select count(*) from drill_writes write join term using (epoch)
             where pg_xact_commit_timestamp(write.xmin) >= term.ended) as stale,
            (select count(*) from term where ended <= began) as falling";
    sqlx::query_as(count).fetch_one(&database.pool).await.expect("the rows can be counted")
}
