//! Each named rule of the schema refuses what it is there to refuse.

use std::collections::BTreeSet;

use crate::harness::{Database, refused_by};

/// A row for each table, all of them good.
const GOOD: &str = "
insert into participants (id) values ('00000000-0000-0000-0000-00000000000a');
insert into sessions (id, name) values
    ('00000000-0000-0000-0000-000000000001', 'one'), ('00000000-0000-0000-0000-000000000002', 'two');
insert into session_memberships (session_id, participant_id, role, state) values
    ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000a', 'owner', 'active');
insert into runtime_nodes (node_id, participant_id) values
    ('n', '00000000-0000-0000-0000-00000000000a'), ('m', '00000000-0000-0000-0000-00000000000a');
insert into runtime_node_attachments
    (id, session_id, node_key, participant_id, generation, client_version, reported_health)
    values ('00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-000000000001', 1,
        '00000000-0000-0000-0000-00000000000a', 1, '1.0', 'online');
insert into attachment_spans (attachment_id, session_id, node_key, participant_id, generation, instance_id) values
    ('00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-000000000001', 1,
        '00000000-0000-0000-0000-00000000000a', 1, '00000000-0000-0000-0000-0000000000e1');
insert into runtime_node_presence (node_key, generation, last_heartbeat_at, health_state, health_cause)
    values (1, 1, now(), 'online', 'self_reported');
insert into service_windows (epoch, opened_at, counts_from, proven_until) values (1, now(), now(), now());
insert into past_service (day, counts_from, counts_until) values (current_date, now(), now());
insert into issued_tokens (token_id, participant_id, expires_at)
    values ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-00000000000a', now());
insert into revoked_tokens (token_id, expires_at) values ('00000000-0000-0000-0000-0000000000b1', now());
insert into join_tokens (id, secret_hash, participant_id, scopes, uses_left, token_lifetime, expires_at)
    values ('00000000-0000-0000-0000-0000000000d1', decode(repeat('00', 32), 'hex'), '00000000-0000-0000-0000-00000000000a', 'node', 1, '1 h', now());
insert into audit_entries (epoch, actor_id, action, target)
    values (1, '00000000-0000-0000-0000-00000000000a', 'node.forget', 'n');
insert into request_answers (participant_id, request_id, method, request_digest, answer) values
    ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-0000000000c1', 'ForgetNode', '', '');
insert into session_logs (session_id, head, head_hash, tail_hash)
    values ('00000000-0000-0000-0000-000000000001', 1, decode(repeat('01', 32), 'hex'), decode(repeat('00', 32), 'hex'));
insert into session_events (session_id, seq, position, event_id, epoch, envelope_version, type, key, actor, content_type,
                            payload, occurred_at, recorded_at, prev_hash, hash)
    values ('00000000-0000-0000-0000-000000000001', 1, 1, '00000000-0000-0000-0000-0000000000aa', 1, '1.0', 'a', 'k', 'server',
            't', '', now(), now(), decode(repeat('00', 32), 'hex'), decode(repeat('01', 32), 'hex'));
insert into session_state select session_id, key, seq, event_id, epoch, envelope_version, type, actor, content_type, payload,
                                 occurred_at, recorded_at, prev_hash, hash from session_events;
insert into session_bases (id, session_id, kind, seq, hash, events, digest)
    values ('00000000-0000-0000-0000-0000000000ba', '00000000-0000-0000-0000-000000000001', 'checkpoint', 1,
        decode(repeat('01', 32), 'hex'), 1, decode(repeat('02', 32), 'hex'));
insert into session_base_events select '00000000-0000-0000-0000-0000000000ba', seq, event_id, epoch, envelope_version, type, key,
    actor, content_type, payload, occurred_at, recorded_at, prev_hash, hash from session_events;
insert into replicas (session_id, node_key, acknowledged_seq, acknowledged_hash, acknowledged_at)
    values ('00000000-0000-0000-0000-000000000001', 1, 1, decode(repeat('01', 32), 'hex'), now());
";

/// What refuses, and what it refuses. Nothing of a refused statement is kept.
const BAD: &[(&str, &[&str])] = &[
    ("sessions_name_length", &["update sessions set name = ''", "update sessions set name = repeat('x', 129)"]),
    ("sessions_state_known", &["update sessions set state = 'paused'", "update sessions set state = ''"]),
    (
        "sessions_min_client_version_format",
        &[
            "update sessions set min_client_version = ''",
            "update sessions set min_client_version = '1'",
            "update sessions set min_client_version = '1.'",
            "update sessions set min_client_version = '1.2.3'",
            "update sessions set min_client_version = '01.2'",
            "update sessions set min_client_version = '1.02'",
            "update sessions set min_client_version = '-1.2'",
            "update sessions set min_client_version = ' 1.2'",
            "update sessions set min_client_version = E'1.2\\n'",
            "update sessions set min_client_version = '1.' || repeat('9', 63)",
        ],
    ),
    (
        "session_memberships_session_fkey",
        &["update session_memberships set session_id = gen_random_uuid()"],
    ),
    (
        "session_memberships_participant_fkey",
        &["update session_memberships set participant_id = gen_random_uuid()"],
    ),
    (
        "session_memberships_role_known",
        &["update session_memberships set role = 'admin'", "update session_memberships set role = 'Owner'"],
    ),
    ("session_memberships_state_known", &["update session_memberships set state = 'left'"]),
    (
        "runtime_nodes_node_id_key",
        &["insert into runtime_nodes (node_id, participant_id) select 'n', id from participants"],
    ),
    ("runtime_nodes_participant_fkey", &["update runtime_nodes set participant_id = gen_random_uuid()"]),
    (
        "runtime_nodes_node_id_length",
        &[
            "update runtime_nodes set node_id = '' where node_key = 1",
            "update runtime_nodes set node_id = repeat('n', 257) where node_key = 1",
        ],
    ),
    ("runtime_nodes_generation_not_negative", &["update runtime_nodes set generation = -1"]),
    (
        "runtime_node_attachments_session_fkey",
        &["update runtime_node_attachments set session_id = gen_random_uuid()"],
    ),
    ("runtime_node_attachments_node_fkey", &["update runtime_node_attachments set node_key = 99"]),
    (
        "runtime_node_attachments_participant_fkey",
        &["update runtime_node_attachments set participant_id = gen_random_uuid()"],
    ),
    (
        "runtime_node_attachments_generation_positive",
        &["update runtime_node_attachments set generation = 0"],
    ),
    (
        "runtime_node_attachments_client_version_format",
        &[
            "update runtime_node_attachments set client_version = ''",
            "update runtime_node_attachments set client_version = 'v1.0'",
            "update runtime_node_attachments set client_version = '1.0.0'",
            "update runtime_node_attachments set client_version = '1.' || repeat('9', 63)",
        ],
    ),
    (
        "runtime_node_attachments_capabilities_object",
        &[
            "update runtime_node_attachments set capabilities = '[]'",
            "update runtime_node_attachments set capabilities = 'null'",
        ],
    ),
    ("runtime_node_attachments_state_known", &["update runtime_node_attachments set state = 'lost'"]),
    (
        "runtime_node_attachments_reported_health_known",
        &["update runtime_node_attachments set reported_health = 'offline'"],
    ),
    ("runtime_node_attachments_online_declared", &["update runtime_node_attachments set state = 'online'"]),
    (
        "runtime_node_attachments_degraded_has_reasons",
        &[
            "update runtime_node_attachments set state = 'degraded'",
            r#"update runtime_node_attachments set state_reasons = '["why"]'"#,
        ],
    ),
    (
        "runtime_node_attachments_node_session_key",
        &["insert into runtime_node_attachments
               (id, session_id, node_key, participant_id, generation, client_version, state, reported_health)
           select gen_random_uuid(), session_id, node_key, participant_id, 2, '1.0', 'offline', 'online'
           from runtime_node_attachments"],
    ),
    (
        "runtime_node_attachments_one_active",
        &["insert into runtime_node_attachments
               (id, session_id, node_key, participant_id, generation, client_version, reported_health)
           select gen_random_uuid(), '00000000-0000-0000-0000-000000000002', node_key, participant_id, 2, '1.0', 'online'
           from runtime_node_attachments"],
    ),
    ("attachment_spans_attachment_fkey", &["update attachment_spans set attachment_id = gen_random_uuid()"]),
    (
        "attachment_spans_end_cause_known",
        &["update attachment_spans set ended_at = now(), end_cause = 'bored'"],
    ),
    (
        "attachment_spans_end_has_a_cause",
        &[
            "update attachment_spans set ended_at = now()",
            "update attachment_spans set end_cause = 'detached'",
        ],
    ),
    (
        "attachment_spans_ends_after_start",
        &["update attachment_spans set ended_at = started_at - interval '1 microsecond', end_cause = 'detached'"],
    ),
    (
        "attachment_spans_node_generation_key",
        &["insert into attachment_spans
               (attachment_id, session_id, node_key, participant_id, generation, instance_id)
           select attachment_id, session_id, node_key, participant_id, generation, gen_random_uuid()
           from attachment_spans"],
    ),
    (
        "runtime_node_presence_health_has_its_cause",
        &[
            "update runtime_node_presence set health_state = 'asleep'",
            "update runtime_node_presence set health_cause = 'silence'",
            "update runtime_node_presence set health_state = 'degraded', health_cause = 'detached'",
            "update runtime_node_presence set health_state = 'offline'",
            "update runtime_node_presence set health_cause = ''",
        ],
    ),
    (
        "leadership_one_row",
        &["insert into leadership (only_row) values (false)", "update leadership set only_row = false"],
    ),
    ("leadership_pkey", &["insert into leadership default values"]),
    ("leadership_epoch_not_negative", &["update leadership set epoch = -1"]),
    ("leadership_state_known", &["update leadership set state = 'resting'", "update leadership set state = ''"]),
    (
        "leadership_lease_positive",
        &["update leadership set lease = interval '0'", "update leadership set lease = interval '-1 s'"],
    ),
    (
        "past_service_until_after_from",
        &["update past_service set counts_until = counts_from - interval '1 microsecond'"],
    ),
    (
        "service_windows_counts_from_opening",
        &["update service_windows set counts_from = opened_at - interval '1 microsecond'"],
    ),
    (
        "service_windows_proven_from_opening",
        &["update service_windows set proven_until = opened_at - interval '1 microsecond'"],
    ),
    (
        "presence_brake_one_row",
        &["insert into presence_brake (only_row) values (false)", "update presence_brake set only_row = false"],
    ),
    ("presence_brake_pkey", &["insert into presence_brake default values"]),
    (
        "revoked_tokens_token_id_key",
        &["insert into revoked_tokens (token_id, expires_at) select token_id, expires_at from revoked_tokens"],
    ),
    ("issued_tokens_participant_fkey", &["update issued_tokens set participant_id = gen_random_uuid()"]),
    (
        "issued_tokens_pkey",
        &["insert into issued_tokens (token_id, participant_id, expires_at)
           select token_id, participant_id, expires_at from issued_tokens"],
    ),
    ("join_tokens_participant_fkey", &["update join_tokens set participant_id = gen_random_uuid()"]),
    ("join_tokens_uses_left_not_negative", &["update join_tokens set uses_left = -1"]),
    (
        "join_tokens_secret_hash_length",
        &[
            "update join_tokens set secret_hash = ''",
            "update join_tokens set secret_hash = decode(repeat('00', 31), 'hex')",
            "update join_tokens set secret_hash = decode(repeat('00', 33), 'hex')",
        ],
    ),
    (
        // Two requests of one id, whatever they ask.
        "request_answers_pkey",
        &["insert into request_answers (participant_id, request_id, method, request_digest, answer)
           select participant_id, request_id, 'DetachNode', '', '' from request_answers"],
    ),
    (
        "maintenance_one_row",
        &["insert into maintenance (only_row) values (false)", "update maintenance set only_row = false"],
    ),
    ("maintenance_pkey", &["insert into maintenance default values"]),
    (
        "control_plane_one_row",
        &["insert into control_plane (only_row) values (false)", "update control_plane set only_row = false"],
    ),
    ("control_plane_pkey", &["insert into control_plane default values"]),
    (
        "log_position_one_row",
        &["insert into log_position (only_row) values (false)", "update log_position set only_row = false"],
    ),
    ("log_position_pkey", &["insert into log_position default values"]),
    ("log_position_not_negative", &["update log_position set last = -1"]),
    ("session_logs_session_fkey", &["update session_logs set session_id = gen_random_uuid()"]),
    ("session_logs_tail_not_negative", &["update session_logs set tail = -1"]),
    ("session_logs_tail_not_after_head", &["update session_logs set tail = 2", "update session_logs set head = -1"]),
    (
        "session_logs_same_place_same_hash",
        &["update session_logs set head = 0", "update session_logs set tail = 1"],
    ),
    (
        "session_logs_head_hash_length",
        &["update session_logs set head_hash = ''", "update session_logs set head_hash = head_hash || head_hash"],
    ),
    ("session_logs_tail_hash_length", &["update session_logs set tail_hash = substr(tail_hash, 2)"]),
    ("session_logs_retained_bytes_not_negative", &["update session_logs set retained_bytes = -1"]),
    ("session_logs_state_keys_not_negative", &["update session_logs set state_keys = -1"]),
    (
        // Two events of one name, whatever else they say.
        "session_events_event_id_key",
        &["insert into session_events select session_id, 2, 2, event_id, epoch, envelope_version, 'b', key, actor, content_type,
               payload, occurred_at, recorded_at, prev_hash, hash from session_events"],
    ),
    (
        "session_events_position_key",
        &["insert into session_events select session_id, 2, position, gen_random_uuid(), epoch, envelope_version, type, key,
               actor, content_type, payload, occurred_at, recorded_at, prev_hash, hash from session_events"],
    ),
    ("session_events_seq_positive", &["update session_events set seq = 0"]),
    ("session_events_position_positive", &["update session_events set position = 0"]),
    ("session_events_epoch_not_negative", &["update session_events set epoch = -1"]),
    (
        "session_events_envelope_version_format",
        &[
            "update session_events set envelope_version = ''",
            "update session_events set envelope_version = '1'",
            "update session_events set envelope_version = '01.0'",
            "update session_events set envelope_version = '1.' || repeat('9', 63)",
        ],
    ),
    (
        "session_events_type_length",
        &["update session_events set type = ''", "update session_events set type = repeat('x', 129)"],
    ),
    (
        "session_events_key_length",
        &["update session_events set key = ''", "update session_events set key = repeat('x', 513)"],
    ),
    (
        "session_events_actor_known",
        &[
            "update session_events set actor = ''",
            "update session_events set actor = 'servers'",
            "update session_events set actor = 'node/'",
            "update session_events set actor = 'somebody/x'",
        ],
    ),
    (
        "session_events_content_type_length",
        &["update session_events set content_type = ''", "update session_events set content_type = repeat('x', 129)"],
    ),
    (
        "session_events_payload_length",
        &["update session_events set payload = decode(repeat('00', 262145), 'hex')"],
    ),
    ("session_events_prev_hash_length", &["update session_events set prev_hash = ''"]),
    ("session_events_hash_length", &["update session_events set hash = substr(hash, 2)"]),
    ("session_state_seq_positive", &["update session_state set seq = 0"]),
    (
        "session_state_key_length",
        &["update session_state set key = ''", "update session_state set key = repeat('x', 513)"],
    ),
    ("session_state_hash_length", &["update session_state set hash = ''"]),
    ("session_bases_session_fkey", &["update session_bases set session_id = gen_random_uuid()"]),
    ("session_bases_kind_known", &["update session_bases set kind = 'copy'", "update session_bases set kind = ''"]),
    ("session_bases_seq_not_negative", &["update session_bases set seq = -1"]),
    ("session_bases_events_not_negative", &["update session_bases set events = -1"]),
    ("session_bases_hash_length", &["update session_bases set hash = ''"]),
    ("session_bases_digest_length", &["update session_bases set digest = ''"]),
    ("session_base_events_base_fkey", &["update session_base_events set base_id = gen_random_uuid()"]),
    ("session_base_events_seq_positive", &["update session_base_events set seq = 0"]),
    ("replicas_session_fkey", &["update replicas set session_id = gen_random_uuid()"]),
    ("replicas_node_fkey", &["update replicas set node_key = 99"]),
    (
        "replicas_acknowledged_whole",
        &["update replicas set acknowledged_hash = null", "update replicas set acknowledged_at = null"],
    ),
    ("replicas_acknowledged_not_negative", &["update replicas set acknowledged_seq = -1"]),
    ("replicas_hash_length", &["update replicas set acknowledged_hash = ''"]),
    (
        "replicas_known",
        &["update replicas set acknowledged_seq = null, acknowledged_hash = null, acknowledged_at = null"],
    ),
];

/// Every rule but not null and primary keys.
const RULES: &str = "
select conname from pg_constraint
where connamespace = 'public'::regnamespace and contype not in ('n', 'p')
union
select relname from pg_index join pg_class on pg_class.oid = indexrelid
where relnamespace = 'public'::regnamespace and indisunique and not indisprimary";

#[test]
fn every_rule_refuses_its_bad_rows_by_name() {
    let database = Database::migrated();
    database.sql(GOOD);
    let mut wrong = Vec::new();
    for (rule, statements) in BAD {
        for statement in *statements {
            let by = refused_by(&database.options, statement);
            if by.as_deref() != Some(rule) {
                wrong.push(format!("{rule}: {statement}\n    was refused by {by:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_rule_is_without_a_bad_row() {
    let rules = Database::migrated().sql(RULES);
    let rules: BTreeSet<&str> = rules.lines().collect();
    let tried: BTreeSet<&str> = BAD.iter().map(|(rule, _)| *rule).collect();
    let untried: Vec<_> = rules.difference(&tried).collect();
    assert!(untried.is_empty(), "add a bad row to schema/bad_rows.rs for {untried:?}");
    let unknown: Vec<_> = tried.difference(&rules).filter(|rule| !rule.ends_with("_pkey")).collect();
    assert!(unknown.is_empty(), "no longer in the schema: {unknown:?}");
}

/// The edges on the good side.
#[test]
fn no_rule_refuses_what_is_good() {
    let database = Database::migrated();
    database.sql(GOOD);
    for statement in [
        "update sessions set name = repeat('é', 128)",
        "update sessions set min_client_version = '0.0'",
        "update sessions set min_client_version = '1.' || repeat('9', 62)",
        "update sessions set min_client_version = null",
        "update runtime_nodes set node_id = repeat('n', 256) where node_key = 1",
        r#"update runtime_node_attachments set state = 'degraded', state_reasons = '["why"]'"#,
        r#"update runtime_node_attachments set state = 'online', state_reasons = '[]', capabilities = '{"a": 1}'"#,
        "update attachment_spans set ended_at = started_at, end_cause = 'superseded'",
        "update runtime_node_presence set health_state = 'offline', health_cause = 'revoked', generation = null",
        "update service_windows set counts_from = opened_at, proven_until = opened_at",
        "update attachment_spans set ended_at = started_at, end_cause = 'transferred'",
        "update join_tokens set uses_left = 0, secret_hash = decode(repeat('ff', 32), 'hex')",
        "update maintenance set since = now(), reason = 'upgrade'",
    ] {
        database.sql(statement);
    }
}
