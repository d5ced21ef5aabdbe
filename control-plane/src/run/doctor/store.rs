//! Every query of the doctor. None changes anything.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::leadership::locks::LockNamespace;

/// What this connection is, and where it leads.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) role: String,
    pub(super) database: String,
    /// The first schema of the search path that there is and that the role may use.
    pub(super) schema: Option<String>,
    /// Whether the role may make tables there.
    pub(super) may_create: bool,
    /// Whether it is a copy that cannot be written.
    pub(super) is_replica: bool,
}

pub(super) async fn place(db: &mut PgConnection) -> Result<Place, sqlx::Error> {
    sqlx::query_as!(
        Place,
        r#"select session_user::text as "role!", current_database()::text as "database!",
                  current_schema()::text as schema,
                  coalesce(has_schema_privilege(current_schema(), 'create'), false) as "may_create!",
                  pg_is_in_recovery() as "is_replica!""#
    )
    .fetch_one(db)
    .await
}

/// Settings of Postgres as this session has them, in the units of `pg_settings`.
pub(super) async fn settings(
    db: &mut PgConnection,
    names: &[&str],
) -> Result<HashMap<String, String>, sqlx::Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let rows = sqlx::query!(
        r#"select name as "name!", setting as "setting!" from pg_settings where name = any($1)"#,
        &names
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.setting)).collect())
}

/// What the role may do with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TablePrivileges {
    pub(super) table: String,
    pub(super) select: bool,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

/// Of every table in the schema that is used.
pub(super) async fn table_privileges(db: &mut PgConnection) -> Result<Vec<TablePrivileges>, sqlx::Error> {
    sqlx::query_as!(
        TablePrivileges,
        r#"select relname::text as "table!", has_table_privilege(oid, 'select') as "select!",
                  has_table_privilege(oid, 'insert') as "insert!", has_table_privilege(oid, 'update') as "update!",
                  has_table_privilege(oid, 'delete') as "delete!"
           from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') order by relname"#
    )
    .fetch_all(db)
    .await
}

/// Roles, other than this one, by which servers are connected to this database, or one of them leads.
pub(super) async fn other_roles(
    db: &mut PgConnection,
    namespace: LockNamespace,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct usename::text as "role!" from pg_stat_activity
           where datname = current_database() and usename <> session_user and (
               application_name like 'rollcall %' or exists (
                   select from pg_locks
                   where locktype = 'advisory' and objsubid = 1 and pg_locks.pid = pg_stat_activity.pid
                     and (classid::bigint << 32) | objid::bigint = $1))
           order by 1"#,
        namespace.key()
    )
    .fetch_all(db)
    .await
}

/// Connections, and what bounds them.
#[derive(Clone, Debug)]
pub(super) struct Occupancy {
    /// Of others than servers, in the whole cluster.
    pub(super) others: i64,
    /// Of others than servers, by this role.
    pub(super) others_of_role: i64,
    /// Of others than servers, to this database.
    pub(super) others_of_database: i64,
    /// Of this role; below zero without one.
    pub(super) role_limit: i32,
    /// Of this database; below zero without one.
    pub(super) database_limit: i32,
}

pub(super) async fn occupancy(db: &mut PgConnection) -> Result<Occupancy, sqlx::Error> {
    sqlx::query_as!(
        Occupancy,
        r#"select count(*) as "others!",
                  count(*) filter (where usename = session_user) as "others_of_role!",
                  count(*) filter (where datname = current_database()) as "others_of_database!",
                  (select rolconnlimit from pg_roles where rolname = session_user) as "role_limit!",
                  (select datconnlimit from pg_database where datname = current_database()) as "database_limit!"
           from pg_stat_activity
           where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name not like 'rollcall %'"#
    )
    .fetch_one(db)
    .await
}

/// The database's clock.
pub(super) async fn clock(db: &mut PgConnection) -> Result<OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(db).await
}

/// Has Postgres look for clients that are gone while it works for them, for the length of this statement.
pub(super) async fn try_connection_checks(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select set_config('client_connection_check_interval', '1s', true)")
        .fetch_one(db)
        .await
        .map(drop)
}
