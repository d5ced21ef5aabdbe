//! The schema as it is meant to be.

pub(super) const SCHEMA: &str = r#"
(functions) refuse_former_leaders
attachment_spans table
attachment_spans column id bigint not null generated always as identity
attachment_spans column attachment_id uuid not null
attachment_spans column session_id uuid not null
attachment_spans column node_key bigint not null
attachment_spans column participant_id uuid not null
attachment_spans column generation bigint not null
attachment_spans column instance_id uuid not null
attachment_spans column started_at timestamp with time zone not null default now()
attachment_spans column ended_at timestamp with time zone
attachment_spans column end_cause text
attachment_spans column end_reason text
attachment_spans constraint attachment_spans_attachment_fkey FOREIGN KEY (attachment_id) REFERENCES runtime_node_attachments(id)
attachment_spans constraint attachment_spans_end_cause_known CHECK (end_cause = ANY (ARRAY['detached'::text, 'superseded'::text, 'session_closed'::text, 'revoked'::text, 'transferred'::text]))
attachment_spans constraint attachment_spans_end_has_a_cause CHECK ((ended_at IS NULL) = (end_cause IS NULL))
attachment_spans constraint attachment_spans_ends_after_start CHECK (ended_at >= started_at)
attachment_spans constraint attachment_spans_pkey PRIMARY KEY (id)
attachment_spans CREATE INDEX attachment_spans_attachment_idx ON public.attachment_spans USING btree (attachment_id)
attachment_spans CREATE INDEX attachment_spans_ended_idx ON public.attachment_spans USING btree (ended_at) WHERE (ended_at IS NOT NULL)
attachment_spans CREATE INDEX attachment_spans_instance_idx ON public.attachment_spans USING btree (node_key, instance_id)
attachment_spans CREATE INDEX attachment_spans_session_idx ON public.attachment_spans USING btree (session_id, started_at)
attachment_spans CREATE UNIQUE INDEX attachment_spans_node_generation_key ON public.attachment_spans USING btree (node_key, generation)
attachment_spans CREATE TRIGGER attachment_spans_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON attachment_spans FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
audit_entries table
audit_entries column id bigint not null generated always as identity
audit_entries column at timestamp with time zone not null default now()
audit_entries column epoch bigint not null
audit_entries column actor_id uuid not null
audit_entries column action text not null
audit_entries column session_id uuid
audit_entries column target text not null
audit_entries column reason text
audit_entries column request_id uuid
audit_entries constraint audit_entries_pkey PRIMARY KEY (id)
audit_entries CREATE INDEX audit_entries_session_idx ON public.audit_entries USING btree (session_id, id)
audit_entries CREATE INDEX audit_entries_target_idx ON public.audit_entries USING btree (target, id)
audit_entries CREATE TRIGGER audit_entries_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON audit_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
control_plane table
control_plane column only_row boolean not null default true
control_plane column history_id uuid not null default gen_random_uuid()
control_plane constraint control_plane_one_row CHECK (only_row)
control_plane constraint control_plane_pkey PRIMARY KEY (only_row)
control_plane CREATE TRIGGER control_plane_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON control_plane FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
issued_tokens table
issued_tokens column token_id uuid not null
issued_tokens column participant_id uuid not null
issued_tokens column expires_at timestamp with time zone not null
issued_tokens column issued_at timestamp with time zone not null default now()
issued_tokens column family_id uuid
issued_tokens constraint issued_tokens_participant_fkey FOREIGN KEY (participant_id) REFERENCES participants(id)
issued_tokens constraint issued_tokens_pkey PRIMARY KEY (token_id)
issued_tokens CREATE INDEX issued_tokens_expires_idx ON public.issued_tokens USING btree (expires_at)
issued_tokens CREATE INDEX issued_tokens_family_idx ON public.issued_tokens USING btree (family_id) WHERE (family_id IS NOT NULL)
issued_tokens CREATE TRIGGER issued_tokens_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON issued_tokens FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
join_tokens table
join_tokens column id uuid not null
join_tokens column secret_hash bytea not null
join_tokens column participant_id uuid not null
join_tokens column scopes text not null
join_tokens column uses_left integer not null
join_tokens column token_lifetime interval not null
join_tokens column expires_at timestamp with time zone not null
join_tokens column created_at timestamp with time zone not null default now()
join_tokens constraint join_tokens_participant_fkey FOREIGN KEY (participant_id) REFERENCES participants(id)
join_tokens constraint join_tokens_pkey PRIMARY KEY (id)
join_tokens constraint join_tokens_secret_hash_length CHECK (octet_length(secret_hash) = 32)
join_tokens constraint join_tokens_uses_left_not_negative CHECK (uses_left >= 0)
join_tokens CREATE INDEX join_tokens_expires_idx ON public.join_tokens USING btree (expires_at)
join_tokens CREATE TRIGGER join_tokens_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON join_tokens FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
leadership table
leadership column only_row boolean not null default true
leadership column epoch bigint not null default 0
leadership column holder_address text
leadership column since timestamp with time zone
leadership column token uuid not null default gen_random_uuid()
leadership column state text not null default 'released'::text
leadership column holder_pid integer
leadership column holder_backend_start timestamp with time zone
leadership column lease interval
leadership column renewals bigint not null default 0
leadership column renewed_at timestamp with time zone
leadership column system_identifier bigint
leadership column timeline integer
leadership column lock_namespace bigint
leadership constraint leadership_epoch_not_negative CHECK (epoch >= 0)
leadership constraint leadership_lease_positive CHECK (lease > '00:00:00'::interval)
leadership constraint leadership_one_row CHECK (only_row)
leadership constraint leadership_pkey PRIMARY KEY (only_row)
leadership constraint leadership_state_known CHECK (state = ANY (ARRAY['won'::text, 'recovering'::text, 'active'::text, 'released'::text]))
leadership_abdications table
leadership_abdications column duty text not null
leadership_abdications column epoch bigint not null
leadership_abdications column at timestamp with time zone not null default now()
leadership_abdications constraint leadership_abdications_pkey PRIMARY KEY (duty)
leadership_abdications CREATE TRIGGER leadership_abdications_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON leadership_abdications FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
log_position table
log_position column only_row boolean not null default true
log_position column last bigint not null default 0
log_position constraint log_position_not_negative CHECK (last >= 0)
log_position constraint log_position_one_row CHECK (only_row)
log_position constraint log_position_pkey PRIMARY KEY (only_row)
log_position CREATE TRIGGER log_position_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON log_position FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
maintenance table
maintenance column only_row boolean not null default true
maintenance column since timestamp with time zone
maintenance column reason text
maintenance constraint maintenance_one_row CHECK (only_row)
maintenance constraint maintenance_pkey PRIMARY KEY (only_row)
maintenance CREATE TRIGGER maintenance_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON maintenance FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
participants table
participants column id uuid not null
participants column created_at timestamp with time zone not null default now()
participants constraint participants_pkey PRIMARY KEY (id)
participants CREATE TRIGGER participants_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON participants FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
past_service table
past_service column day date not null
past_service column counts_from timestamp with time zone not null
past_service column counts_until timestamp with time zone not null
past_service constraint past_service_pkey PRIMARY KEY (day)
past_service constraint past_service_until_after_from CHECK (counts_until >= counts_from)
past_service CREATE TRIGGER past_service_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON past_service FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
presence_brake table
presence_brake column only_row boolean not null default true
presence_brake column held_since timestamp with time zone
presence_brake constraint presence_brake_one_row CHECK (only_row)
presence_brake constraint presence_brake_pkey PRIMARY KEY (only_row)
presence_brake CREATE TRIGGER presence_brake_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON presence_brake FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
replicas table
replicas column session_id uuid not null
replicas column node_key bigint not null
replicas column acknowledged_seq bigint
replicas column acknowledged_hash bytea
replicas column acknowledged_at timestamp with time zone
replicas column needs_rebuild text
replicas constraint replicas_acknowledged_not_negative CHECK (acknowledged_seq >= 0)
replicas constraint replicas_acknowledged_whole CHECK (num_nulls(acknowledged_seq, acknowledged_hash, acknowledged_at) = ANY (ARRAY[0, 3]))
replicas constraint replicas_hash_length CHECK (octet_length(acknowledged_hash) = 32)
replicas constraint replicas_known CHECK (acknowledged_seq IS NOT NULL OR needs_rebuild IS NOT NULL)
replicas constraint replicas_node_fkey FOREIGN KEY (node_key) REFERENCES runtime_nodes(node_key) ON DELETE CASCADE
replicas constraint replicas_pkey PRIMARY KEY (session_id, node_key)
replicas constraint replicas_session_fkey FOREIGN KEY (session_id) REFERENCES sessions(id)
replicas CREATE INDEX replicas_node_idx ON public.replicas USING btree (node_key)
replicas CREATE TRIGGER replicas_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON replicas FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
request_answers table
request_answers column participant_id uuid not null
request_answers column request_id uuid not null
request_answers column method text not null
request_answers column request_digest bytea not null
request_answers column answer bytea not null
request_answers column answered_at timestamp with time zone not null default now()
request_answers constraint request_answers_pkey PRIMARY KEY (participant_id, request_id)
request_answers CREATE INDEX request_answers_answered_idx ON public.request_answers USING btree (answered_at)
request_answers CREATE TRIGGER request_answers_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON request_answers FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
revoked_tokens table
revoked_tokens column id bigint not null generated always as identity
revoked_tokens column token_id uuid not null
revoked_tokens column expires_at timestamp with time zone not null
revoked_tokens column revoked_at timestamp with time zone not null default now()
revoked_tokens constraint revoked_tokens_pkey PRIMARY KEY (id)
revoked_tokens constraint revoked_tokens_token_id_key UNIQUE (token_id)
revoked_tokens CREATE INDEX revoked_tokens_expires_idx ON public.revoked_tokens USING btree (expires_at)
revoked_tokens CREATE TRIGGER revoked_tokens_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON revoked_tokens FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
runtime_node_attachments table
runtime_node_attachments column id uuid not null
runtime_node_attachments column session_id uuid not null
runtime_node_attachments column node_key bigint not null
runtime_node_attachments column participant_id uuid not null
runtime_node_attachments column generation bigint not null
runtime_node_attachments column revision bigint not null default 1
runtime_node_attachments column client_version text not null
runtime_node_attachments column capabilities jsonb not null default '{}'::jsonb
runtime_node_attachments column state text not null default 'registering'::text
runtime_node_attachments column reported_health text not null
runtime_node_attachments column state_reasons jsonb not null default '[]'::jsonb
runtime_node_attachments column attached_at timestamp with time zone not null default now()
runtime_node_attachments constraint runtime_node_attachments_capabilities_object CHECK (jsonb_typeof(capabilities) = 'object'::text)
runtime_node_attachments constraint runtime_node_attachments_client_version_format CHECK (client_version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$'::text AND char_length(client_version) <= 64)
runtime_node_attachments constraint runtime_node_attachments_degraded_has_reasons CHECK ((state = 'degraded'::text) = (jsonb_array_length(state_reasons) > 0))
runtime_node_attachments constraint runtime_node_attachments_generation_positive CHECK (generation > 0)
runtime_node_attachments constraint runtime_node_attachments_node_fkey FOREIGN KEY (node_key) REFERENCES runtime_nodes(node_key)
runtime_node_attachments constraint runtime_node_attachments_online_declared CHECK (state <> 'online'::text OR capabilities <> '{}'::jsonb)
runtime_node_attachments constraint runtime_node_attachments_participant_fkey FOREIGN KEY (participant_id) REFERENCES participants(id)
runtime_node_attachments constraint runtime_node_attachments_pkey PRIMARY KEY (id)
runtime_node_attachments constraint runtime_node_attachments_reported_health_known CHECK (reported_health = ANY (ARRAY['online'::text, 'degraded'::text]))
runtime_node_attachments constraint runtime_node_attachments_session_fkey FOREIGN KEY (session_id) REFERENCES sessions(id)
runtime_node_attachments constraint runtime_node_attachments_state_known CHECK (state = ANY (ARRAY['registering'::text, 'online'::text, 'degraded'::text, 'offline'::text, 'revoked'::text]))
runtime_node_attachments CREATE INDEX runtime_node_attachments_participant_idx ON public.runtime_node_attachments USING btree (participant_id)
runtime_node_attachments CREATE INDEX runtime_node_attachments_session_idx ON public.runtime_node_attachments USING btree (session_id)
runtime_node_attachments CREATE UNIQUE INDEX runtime_node_attachments_node_session_key ON public.runtime_node_attachments USING btree (node_key, session_id)
runtime_node_attachments CREATE UNIQUE INDEX runtime_node_attachments_one_active ON public.runtime_node_attachments USING btree (node_key) WHERE (state = ANY (ARRAY['registering'::text, 'online'::text, 'degraded'::text]))
runtime_node_attachments CREATE TRIGGER runtime_node_attachments_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON runtime_node_attachments FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
runtime_node_presence table with (fillfactor=50, autovacuum_vacuum_scale_factor=0.05)
runtime_node_presence column node_key bigint not null
runtime_node_presence column generation bigint
runtime_node_presence column last_heartbeat_at timestamp with time zone not null
runtime_node_presence column health_state text not null
runtime_node_presence column health_cause text not null
runtime_node_presence constraint runtime_node_presence_health_has_its_cause CHECK (health_state = 'online'::text AND health_cause = 'self_reported'::text OR health_state = 'degraded'::text AND (health_cause = ANY (ARRAY['self_reported'::text, 'silence'::text])) OR health_state = 'offline'::text AND (health_cause = ANY (ARRAY['silence'::text, 'detached'::text, 'revoked'::text])))
runtime_node_presence constraint runtime_node_presence_pkey PRIMARY KEY (node_key)
runtime_node_presence CREATE TRIGGER runtime_node_presence_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON runtime_node_presence FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
runtime_node_slots view
runtime_node_slots column attachment_id uuid
runtime_node_slots column session_id uuid
runtime_node_slots column node_id text
runtime_node_slots column node_key bigint
runtime_node_slots column participant_id uuid
runtime_node_slots column generation bigint
runtime_node_slots column revision bigint
runtime_node_slots column client_version text
runtime_node_slots column capabilities jsonb
runtime_node_slots column state text
runtime_node_slots column state_reasons jsonb
runtime_node_slots column attached_at timestamp with time zone
runtime_node_slots column min_client_version text
runtime_node_slots column health_state text
runtime_node_slots column health_cause text
runtime_node_slots column last_heartbeat_at timestamp with time zone
runtime_nodes table
runtime_nodes column node_key bigint not null generated always as identity
runtime_nodes column node_id text not null
runtime_nodes column participant_id uuid not null
runtime_nodes column generation bigint not null default 0
runtime_nodes column instance_id uuid
runtime_nodes column revoked_at timestamp with time zone
runtime_nodes column first_seen_at timestamp with time zone not null default now()
runtime_nodes constraint runtime_nodes_generation_not_negative CHECK (generation >= 0)
runtime_nodes constraint runtime_nodes_node_id_key UNIQUE (node_id)
runtime_nodes constraint runtime_nodes_node_id_length CHECK (char_length(node_id) >= 1 AND char_length(node_id) <= 256)
runtime_nodes constraint runtime_nodes_participant_fkey FOREIGN KEY (participant_id) REFERENCES participants(id)
runtime_nodes constraint runtime_nodes_pkey PRIMARY KEY (node_key)
runtime_nodes CREATE TRIGGER runtime_nodes_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON runtime_nodes FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
service_windows table
service_windows column id bigint not null generated always as identity
service_windows column epoch bigint not null
service_windows column opened_at timestamp with time zone not null
service_windows column counts_from timestamp with time zone not null
service_windows column proven_until timestamp with time zone not null
service_windows constraint service_windows_counts_from_opening CHECK (counts_from >= opened_at)
service_windows constraint service_windows_pkey PRIMARY KEY (id)
service_windows constraint service_windows_proven_from_opening CHECK (proven_until >= opened_at)
service_windows CREATE TRIGGER service_windows_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON service_windows FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
session_base_events table
session_base_events column base_id uuid not null
session_base_events column seq bigint not null
session_base_events column event_id uuid not null
session_base_events column epoch bigint not null
session_base_events column envelope_version text not null
session_base_events column type text not null
session_base_events column key text not null
session_base_events column actor text not null
session_base_events column content_type text not null
session_base_events column payload bytea not null
session_base_events column occurred_at timestamp with time zone not null
session_base_events column recorded_at timestamp with time zone not null
session_base_events column prev_hash bytea not null
session_base_events column hash bytea not null
session_base_events constraint session_base_events_base_fkey FOREIGN KEY (base_id) REFERENCES session_bases(id) ON DELETE CASCADE
session_base_events constraint session_base_events_pkey PRIMARY KEY (base_id, seq)
session_base_events constraint session_base_events_seq_positive CHECK (seq > 0)
session_base_events CREATE TRIGGER session_base_events_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON session_base_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
session_bases table
session_bases column id uuid not null
session_bases column session_id uuid not null
session_bases column kind text not null
session_bases column seq bigint not null
session_bases column hash bytea not null
session_bases column events bigint not null
session_bases column digest bytea
session_bases column created_at timestamp with time zone not null default now()
session_bases constraint session_bases_digest_length CHECK (octet_length(digest) = 32)
session_bases constraint session_bases_events_not_negative CHECK (events >= 0)
session_bases constraint session_bases_hash_length CHECK (octet_length(hash) = 32)
session_bases constraint session_bases_kind_known CHECK (kind = ANY (ARRAY['checkpoint'::text, 'full_base'::text]))
session_bases constraint session_bases_pkey PRIMARY KEY (id)
session_bases constraint session_bases_seq_not_negative CHECK (seq >= 0)
session_bases constraint session_bases_session_fkey FOREIGN KEY (session_id) REFERENCES sessions(id)
session_bases CREATE INDEX session_bases_session_idx ON public.session_bases USING btree (session_id, seq)
session_bases CREATE TRIGGER session_bases_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON session_bases FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
session_events table
session_events column session_id uuid not null
session_events column seq bigint not null
session_events column position bigint not null
session_events column event_id uuid not null
session_events column epoch bigint not null
session_events column envelope_version text not null
session_events column type text not null
session_events column key text
session_events column actor text not null
session_events column content_type text not null
session_events column payload bytea not null
session_events column occurred_at timestamp with time zone not null
session_events column recorded_at timestamp with time zone not null
session_events column prev_hash bytea not null
session_events column hash bytea not null
session_events constraint session_events_actor_known CHECK (actor = 'server'::text OR actor ~ '^(participant|node)/.'::text)
session_events constraint session_events_content_type_length CHECK (char_length(content_type) >= 1 AND char_length(content_type) <= 128)
session_events constraint session_events_envelope_version_format CHECK (envelope_version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$'::text AND char_length(envelope_version) <= 64)
session_events constraint session_events_epoch_not_negative CHECK (epoch >= 0)
session_events constraint session_events_event_id_key UNIQUE (session_id, event_id)
session_events constraint session_events_hash_length CHECK (octet_length(hash) = 32)
session_events constraint session_events_key_length CHECK (char_length(key) >= 1 AND char_length(key) <= 512)
session_events constraint session_events_payload_length CHECK (octet_length(payload) <= 262144)
session_events constraint session_events_pkey PRIMARY KEY (session_id, seq)
session_events constraint session_events_position_key UNIQUE ("position")
session_events constraint session_events_position_positive CHECK ("position" > 0)
session_events constraint session_events_prev_hash_length CHECK (octet_length(prev_hash) = 32)
session_events constraint session_events_seq_positive CHECK (seq > 0)
session_events constraint session_events_type_length CHECK (char_length(type) >= 1 AND char_length(type) <= 128)
session_events CREATE TRIGGER session_events_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON session_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
session_logs table with (fillfactor=70, autovacuum_vacuum_scale_factor=0.05)
session_logs column session_id uuid not null
session_logs column head bigint not null default 0
session_logs column head_hash bytea not null
session_logs column tail bigint not null default 0
session_logs column tail_hash bytea not null
session_logs column retained_bytes bigint not null default 0
session_logs column state_keys bigint not null default 0
session_logs constraint session_logs_head_hash_length CHECK (octet_length(head_hash) = 32)
session_logs constraint session_logs_pkey PRIMARY KEY (session_id)
session_logs constraint session_logs_retained_bytes_not_negative CHECK (retained_bytes >= 0)
session_logs constraint session_logs_same_place_same_hash CHECK (tail <> head OR tail_hash = head_hash)
session_logs constraint session_logs_session_fkey FOREIGN KEY (session_id) REFERENCES sessions(id)
session_logs constraint session_logs_state_keys_not_negative CHECK (state_keys >= 0)
session_logs constraint session_logs_tail_hash_length CHECK (octet_length(tail_hash) = 32)
session_logs constraint session_logs_tail_not_after_head CHECK (tail <= head)
session_logs constraint session_logs_tail_not_negative CHECK (tail >= 0)
session_logs CREATE TRIGGER session_logs_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON session_logs FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
session_memberships table
session_memberships column session_id uuid not null
session_memberships column participant_id uuid not null
session_memberships column role text not null
session_memberships column state text not null
session_memberships column joined_at timestamp with time zone not null default now()
session_memberships column updated_at timestamp with time zone not null default now()
session_memberships constraint session_memberships_participant_fkey FOREIGN KEY (participant_id) REFERENCES participants(id)
session_memberships constraint session_memberships_pkey PRIMARY KEY (session_id, participant_id)
session_memberships constraint session_memberships_role_known CHECK (role = ANY (ARRAY['owner'::text, 'collaborator'::text, 'runtime_contributor'::text, 'viewer'::text]))
session_memberships constraint session_memberships_session_fkey FOREIGN KEY (session_id) REFERENCES sessions(id)
session_memberships constraint session_memberships_state_known CHECK (state = ANY (ARRAY['pending'::text, 'active'::text, 'suspended'::text, 'revoked'::text]))
session_memberships CREATE INDEX session_memberships_participant_idx ON public.session_memberships USING btree (participant_id, session_id)
session_memberships CREATE TRIGGER session_memberships_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON session_memberships FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
session_state table with (fillfactor=80)
session_state column session_id uuid not null
session_state column key text not null
session_state column seq bigint not null
session_state column event_id uuid not null
session_state column epoch bigint not null
session_state column envelope_version text not null
session_state column type text not null
session_state column actor text not null
session_state column content_type text not null
session_state column payload bytea not null
session_state column occurred_at timestamp with time zone not null
session_state column recorded_at timestamp with time zone not null
session_state column prev_hash bytea not null
session_state column hash bytea not null
session_state constraint session_state_hash_length CHECK (octet_length(hash) = 32)
session_state constraint session_state_key_length CHECK (char_length(key) >= 1 AND char_length(key) <= 512)
session_state constraint session_state_pkey PRIMARY KEY (session_id, key)
session_state constraint session_state_seq_positive CHECK (seq > 0)
session_state CREATE TRIGGER session_state_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON session_state FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
sessions table
sessions column id uuid not null
sessions column name text not null
sessions column state text not null default 'active'::text
sessions column min_client_version text
sessions column created_at timestamp with time zone not null default now()
sessions column updated_at timestamp with time zone not null default now()
sessions constraint sessions_min_client_version_format CHECK (min_client_version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$'::text AND char_length(min_client_version) <= 64)
sessions constraint sessions_name_length CHECK (char_length(name) >= 1 AND char_length(name) <= 128)
sessions constraint sessions_pkey PRIMARY KEY (id)
sessions constraint sessions_state_known CHECK (state = ANY (ARRAY['active'::text, 'archived'::text, 'closed'::text]))
sessions CREATE TRIGGER sessions_fence BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON sessions FOR EACH STATEMENT EXECUTE FUNCTION refuse_former_leaders()
"#;
