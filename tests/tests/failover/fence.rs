//! The fence in the database: what it refuses, where it stands, and which forms of it would let stale writes through.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tests::{Database, eventually};

/// Written without a term: by the campaign, which gives terms out, and by the migrator.
const UNFENCED: [&str; 2] = ["leadership", "refinery_schema_history"];

async fn session(database: &Database, term: Option<&str>) -> PgConnection {
    let mut session = PgConnection::connect(&database.url).await.expect("Postgres answers");
    if let Some(term) = term {
        sqlx::query("select set_config('rollcall.epoch', $1, false)")
            .bind(term)
            .execute(&mut session)
            .await
            .expect("the setting is taken");
    }
    session
}

/// The term as the database has it.
async fn term(database: &Database) -> String {
    sqlx::query_scalar("select epoch || '/' || token from leadership")
        .fetch_one(&database.pool)
        .await
        .expect("there is a term")
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).expect("Postgres refused it").into_owned()
}

const WRITE: &str = "insert into participants (id) values (gen_random_uuid())";

#[tokio::test]
async fn every_table_that_a_leader_writes_has_a_fence_on_every_kind_of_write() {
    let database = Database::new().await;
    let fenced = "
        select rel.relname::text from pg_trigger
        join pg_class rel on rel.oid = tgrelid join pg_proc on pg_proc.oid = tgfoid
        where proname = 'refuse_former_leaders' and tgenabled = 'O'
          -- BEFORE, FOR EACH STATEMENT, and INSERT, DELETE, UPDATE, TRUNCATE.
          and tgtype = 2 + 4 + 8 + 16 + 32
        order by 1";
    let fenced: Vec<String> = sqlx::query_scalar(fenced).fetch_all(&database.pool).await.unwrap();
    let tables = "
        select relname::text from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname <> all ($1)
        order by 1";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).bind(UNFENCED.map(str::to_owned)).fetch_all(&database.pool).await.unwrap();
    assert_eq!(fenced, tables);
    assert!(tables.len() > 12, "{tables:?}");
}

#[tokio::test]
async fn only_a_session_of_the_present_term_writes() {
    let database = Database::new().await;
    let current = term(&database).await;
    session(&database, Some(&current)).await.execute(WRITE).await.expect("the present term writes");

    let (epoch, token) = current.split_once('/').expect("epoch and token");
    let (higher, other) = (format!("1{epoch}/{token}"), format!("{epoch}/{}", uuid::Uuid::new_v4()));
    for stale in [higher.as_str(), &other, epoch, "nonsense", &format!("{current} ")] {
        for write in [
            WRITE,
            "update participants set id = id",
            "delete from participants where false",
            "truncate revoked_tokens",
        ] {
            let refused = session(&database, Some(stale)).await.execute(write).await.unwrap_err();
            assert_eq!(code(&refused), "RC001", "{stale:?}: {write}");
        }
    }
    for none in [None, Some("")] {
        let refused = session(&database, none).await.execute(WRITE).await.unwrap_err();
        assert_eq!(code(&refused), "RC002", "{none:?}");
        assert!(refused.to_string().contains("participants"), "{refused}");
    }
    session(&database, Some("by-hand")).await.execute(WRITE).await.expect("repair by hand says so");
    let count: i64 =
        sqlx::query_scalar("select count(*) from participants").fetch_one(&database.pool).await.unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_snapshot_that_is_older_than_the_statement_is_refused() {
    let database = Database::new().await;
    let current = term(&database).await;
    for isolation in ["repeatable read", "serializable"] {
        let mut session = session(&database, Some(&current)).await;
        let begin = format!("begin isolation level {isolation}");
        session.execute(AssertSqlSafe(begin)).await.unwrap();
        assert_eq!(code(&session.execute(WRITE).await.unwrap_err()), "RC003", "{isolation}");
    }
}

/// The key of the fence's lock, as the trigger computes it.
const FENCE: &str = "1919904876, 'leadership'::regclass::oid::integer";

/// A form of the fence for a table of its own.
#[derive(Clone, Copy, Debug)]
struct Form {
    name: &'static str,
    volatility: &'static str,
    body: &'static str,
    isolation: &'static str,
}

const LOCK_THEN_READ: &str =
    "perform pg_advisory_xact_lock_shared(FENCE); select epoch || '/' || token into seen from leadership;";
const OURS: Form = Form {
    name: "the lock, then the read in a statement of its own",
    volatility: "volatile",
    body: LOCK_THEN_READ,
    isolation: "read committed",
};
const LEAKING: [Form; 6] = [
    Form {
        name: "lock and read in one statement",
        body: "select epoch || '/' || token into seen
               from (select pg_advisory_xact_lock_shared(FENCE) offset 0) locked, leadership;",
        ..OURS
    },
    Form { name: "a function that is stable", volatility: "stable", ..OURS },
    Form { name: "repeatable read", isolation: "repeatable read", ..OURS },
    Form { name: "serializable", isolation: "serializable", ..OURS },
    Form {
        name: "the lock in an unreferenced CTE, which is not run",
        body: "with locked as (select pg_advisory_xact_lock_shared(FENCE))
               select epoch || '/' || token into seen from leadership;",
        ..OURS
    },
    Form { name: "no lock at all", body: "select epoch || '/' || token into seen from leadership;", ..OURS },
];

/// When the write of the former term is sent.
#[derive(Clone, Copy, Debug)]
enum Sent {
    /// While the epoch is being raised.
    Meanwhile,
    /// Before, and its transaction is open for longer.
    Before,
}

/// Whether a write of a term is committed after the next one began.
async fn is_stale_write_let_through(form: Form, sent: Sent) -> bool {
    let database = Database::new().await;
    let create = format!(
        "create table guarded (n integer);
         create function guard() returns trigger language plpgsql {} as $$
         declare seen text;
         begin
             {}
             if seen is distinct from current_setting('rollcall.epoch') then raise exception 'stale'; end if;
             return null;
         end $$;
         create trigger guard before insert on guarded for each statement execute function guard()",
        form.volatility,
        form.body.replace("FENCE", FENCE)
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&database.pool).await.expect("the form is valid");

    let mut former = session(&database, Some(&term(&database).await)).await;
    let mut next = session(&database, None).await;
    former
        .execute(AssertSqlSafe(format!("begin isolation level {}", form.isolation)))
        .await
        .expect("Postgres does it");
    let write = async |mut former: PgConnection| {
        let written = former.execute("insert into guarded values (1)").await;
        (former, written.is_ok())
    };
    let raise = format!("select pg_advisory_xact_lock({FENCE})");
    let raise_epoch = "update leadership set epoch = epoch + 1, token = gen_random_uuid()";
    match sent {
        Sent::Meanwhile => {
            // The former leader's transaction has a snapshot already where isolation takes one early.
            former.execute("select 1").await.expect("Postgres does it");
            next.execute("begin").await.expect("Postgres does it");
            next.execute(AssertSqlSafe(raise)).await.expect("Postgres does it");
            next.execute(raise_epoch).await.expect("Postgres does it");
            let writing = tokio::spawn(write(former));
            // It waits for the lock, or went past without.
            let blocked = async || {
                let count = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
                let waits: i64 =
                    sqlx::query_scalar(count).fetch_one(&database.pool).await.expect("Postgres does it");
                waits > 0 || writing.is_finished()
            };
            eventually("the write waits or is done", blocked, |done| *done).await;
            next.execute("commit").await.expect("Postgres does it");
            let (mut former, written) = writing.await.expect("the write ends");
            written && former.execute("commit").await.is_ok()
        }
        Sent::Before => {
            let (mut former, written) = write(former).await;
            assert!(written, "the term is the present one");
            next.execute("begin").await.expect("Postgres does it");
            next.execute("set local lock_timeout = '200ms'").await.expect("Postgres does it");
            // Raised while the transaction is open, or not at all.
            if next.execute(AssertSqlSafe(raise)).await.is_err() {
                return false;
            }
            next.execute(raise_epoch).await.expect("Postgres does it");
            next.execute("commit").await.expect("Postgres does it");
            former.execute("commit").await.is_ok()
        }
    }
}

#[tokio::test]
async fn no_write_of_a_former_term_gets_through_this_form_of_the_fence() {
    for sent in [Sent::Meanwhile, Sent::Before] {
        assert!(!is_stale_write_let_through(OURS, sent).await, "{sent:?}");
    }
}

#[tokio::test]
async fn each_other_form_of_the_fence_lets_a_stale_write_through() {
    for form in LEAKING {
        let mut let_through = Vec::new();
        for sent in [Sent::Meanwhile, Sent::Before] {
            if is_stale_write_let_through(form, sent).await {
                let_through.push(sent);
            }
        }
        println!("{}: lets through what is sent {let_through:?}", form.name);
        assert!(!let_through.is_empty(), "{} would do as well", form.name);
    }
}

#[tokio::test]
async fn the_function_of_the_schema_is_the_form_that_was_tested() {
    let database = Database::new().await;
    let (body, volatility): (String, String) = sqlx::query_as(
        "select prosrc, provolatile::text from pg_proc where proname = 'refuse_former_leaders'",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(volatility, "v");
    let lock = body.find(&format!("perform pg_advisory_xact_lock_shared({FENCE});")).expect("it locks");
    let read =
        body.find("select epoch || '/' || token into current_term from leadership;").expect("it reads");
    assert!(lock < read);
    assert!(body.find("'read committed'").is_some_and(|check| check < lock), "it checks the isolation");
}
