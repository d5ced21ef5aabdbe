//! Staying attached: beats at the server's pace, updates beside them, and the fence over both.

use contracts::wire::v1;
use tokio::time::{Instant, sleep_until};

use crate::{
    attach::Attached,
    detach,
    line::{Answer, Client},
    reaction::{AfterBeat, AfterUpdate, after_beat, after_update},
    run::{Call, Generation, Leave, Request, Run},
    update::{UpdateError, Updated},
};

/// A beat under way.
struct Beat {
    sent_at: Instant,
    call: Call<v1::HeartbeatResponse>,
}

/// What is under way and what is due while the node is attached.
struct Agenda {
    generation: Generation,
    beat: Option<Beat>,
    beat_at: Instant,
    update: Option<Call<v1::UpdateCapabilitiesResponse>>,
    update_at: Instant,
}

/// What happens next.
enum Happening {
    Stop(String),
    FenceFalls,
    BeatAnswered(Instant, Answer<v1::HeartbeatResponse>),
    BeatDue,
    UpdateAnswered(Answer<v1::UpdateCapabilitiesResponse>),
    UpdateDue,
    Requested(Request),
}

impl Run {
    /// Beats and updates until something ends the attachment.
    pub(crate) async fn stay_attached(&mut self, attached: Attached) -> Leave {
        let now = Instant::now();
        let mut agenda = Agenda {
            generation: attached.generation,
            beat: None,
            beat_at: now + attached.first_beat_in,
            update: None,
            update_at: now,
        };
        loop {
            let leave = match self.next(&mut agenda).await {
                Happening::Stop(reason) => Some(Leave::Stop(reason)),
                Happening::FenceFalls => {
                    self.announcer.apply(|standing| standing.tick(Instant::now()));
                    None
                }
                Happening::BeatDue => {
                    agenda.beat =
                        Some(Beat { sent_at: Instant::now(), call: self.beat_call(agenda.generation) });
                    None
                }
                Happening::BeatAnswered(sent_at, answer) => {
                    agenda.beat = None;
                    self.beat_answered(&mut agenda, sent_at, answer)
                }
                Happening::Requested(request) => {
                    self.take(request);
                    agenda.update_at = Instant::now();
                    None
                }
                Happening::UpdateDue => {
                    agenda.update = self.update_call(agenda.generation);
                    None
                }
                Happening::UpdateAnswered(answer) => {
                    agenda.update = None;
                    self.update_answered(&mut agenda, answer)
                }
            };
            if let Some(leave) = leave {
                return leave;
            }
        }
    }

    /// Waits for the first of all that can happen. The fence comes before answers: after a pause of the whole process
    /// the time that went by counts first.
    async fn next(&mut self, agenda: &mut Agenda) -> Happening {
        let fence_at = self.announcer.standing().fence_at();
        // An update goes over a connection that beats have opened: without one it would only fail beside them.
        let is_update_waiting = self.request.is_some() && agenda.update.is_none() && self.way.is_open();
        let takes_requests = self.request.is_none() && agenda.update.is_none();
        tokio::select! {
            biased;
            reason = &mut self.stop => Happening::Stop(detach::reason(reason)),
            () = at(fence_at) => Happening::FenceFalls,
            (sent_at, answer) = beat_answer(&mut agenda.beat) => Happening::BeatAnswered(sent_at, answer),
            () = sleep_until(agenda.beat_at), if agenda.beat.is_none() => Happening::BeatDue,
            answer = update_answer(&mut agenda.update) => Happening::UpdateAnswered(answer),
            () = sleep_until(agenda.update_at), if is_update_waiting => Happening::UpdateDue,
            Some(request) = self.requests.recv(), if takes_requests => Happening::Requested(request),
        }
    }

    fn beat_call(&self, generation: Generation) -> Call<v1::HeartbeatResponse> {
        let beat = v1::Beat {
            node_id: self.config.node_id.to_string(),
            generation,
            health: v1::ReportedHealth::from(self.config.health).into(),
        };
        let line = self.way.line();
        let deadline = self.pace.deadline();
        Box::pin(async move {
            let heartbeat = |mut client: Client, request| async move { client.heartbeat(request).await };
            line.call(deadline, v1::HeartbeatRequest { beat: Some(beat) }, heartbeat).await
        })
    }

    fn beat_answered(
        &mut self,
        agenda: &mut Agenda,
        sent_at: Instant,
        answer: Answer<v1::HeartbeatResponse>,
    ) -> Option<Leave> {
        let Answer { address, open, result } = answer;
        self.way.keep_open(&address, open);
        let setback = match result {
            Ok(response) => {
                self.acknowledged(agenda, sent_at, response.ack.unwrap_or_default());
                return None;
            }
            Err(setback) => setback,
        };
        match after_beat(&setback, self.way.tokens.hope()) {
            AfterBeat::Retry(retry) => {
                agenda.beat_at = Instant::now() + self.retry_in(&address, retry);
                self.announcer.apply(|standing| standing.set_back(setback));
                None
            }
            AfterBeat::Reattach { advised } => {
                let after = self.way.back_off(self.pace.backoff_cap(), advised);
                self.announcer.apply(|standing| standing.lost(setback));
                Some(Leave::Reattach { after })
            }
            AfterBeat::End(outcome) => Some(Leave::End(outcome)),
        }
    }

    fn acknowledged(&mut self, agenda: &mut Agenda, sent_at: Instant, ack: v1::BeatAck) {
        let now = Instant::now();
        self.pace.follow(ack.next_heartbeat_in.and_then(|interval| interval.try_into().ok()));
        self.way.route.reached();
        self.way.backoff.reset();
        agenda.beat_at = now + self.pace.next_beat(&mut self.rng);
        let floor = Some(ack.min_client_version).filter(|floor| !floor.is_empty());
        self.announcer.apply(|standing| standing.acknowledged(ack.read_only, floor, sent_at, now));
    }

    /// The health of an update is the daemon's own word: beats carry it from now on. Its declaration counts once the
    /// server has accepted it.
    fn take(&mut self, request: Request) {
        if let Some(report) = request.update.health() {
            self.config.health = report.health;
        }
        self.request = Some(request);
    }

    /// The call for the request whose turn it is, unless nobody waits for its answer any more.
    fn update_call(&mut self, generation: Generation) -> Option<Call<v1::UpdateCapabilitiesResponse>> {
        let request = self.request.take_if(|request| !request.reply.is_closed());
        let Some(request) = request else {
            self.request = None;
            return None;
        };
        let report = request.update.health();
        let message = v1::UpdateCapabilitiesRequest {
            node_id: self.config.node_id.to_string(),
            generation,
            declaration: request.update.declaration().map(|declaration| declaration.to_wire()),
            health: report.map(|report| v1::ReportedHealth::from(report.health).into()),
            health_reason: report.map(|report| report.reason.clone()).unwrap_or_default(),
        };
        self.request = Some(request);
        let line = self.way.line();
        let deadline = self.pace.deadline();
        Some(Box::pin(async move {
            let update =
                |mut client: Client, request| async move { client.update_capabilities(request).await };
            line.call(deadline, message, update).await
        }))
    }

    fn update_answered(
        &mut self,
        agenda: &mut Agenda,
        answer: Answer<v1::UpdateCapabilitiesResponse>,
    ) -> Option<Leave> {
        let Answer { address, open, result } = answer;
        self.way.keep_open(&address, open);
        let setback = match result {
            Ok(response) => {
                self.updated(response);
                return None;
            }
            Err(setback) => setback,
        };
        match after_update(&setback, self.way.tokens.hope()) {
            AfterUpdate::Retry(retry) => {
                agenda.update_at = Instant::now() + self.retry_in(&address, retry);
                // The beat is what opens the next connection, so it comes no later than the update would.
                if !self.way.is_open() {
                    agenda.beat_at = agenda.beat_at.min(agenda.update_at);
                }
                self.announcer.apply(|standing| standing.set_back(setback));
                None
            }
            AfterUpdate::Reattach { advised } => {
                let after = self.way.back_off(self.pace.backoff_cap(), advised);
                self.announcer.apply(|standing| standing.lost(setback));
                Some(Leave::Reattach { after })
            }
            AfterUpdate::Report(refusal) => {
                self.reply(Err(UpdateError::Refused(refusal)));
                None
            }
            AfterUpdate::ReportFloor(refusal) => {
                self.announcer.apply(crate::Standing::below_floor);
                self.reply(Err(UpdateError::Refused(refusal)));
                None
            }
            AfterUpdate::End(outcome) => Some(Leave::End(outcome)),
        }
    }

    fn updated(&mut self, response: v1::UpdateCapabilitiesResponse) {
        let slot_state = response.state();
        let state_reasons = response.state_reasons;
        if let Some(declaration) = self.request.as_ref().and_then(|request| request.update.declaration()) {
            self.config.declaration = Some(declaration.clone());
        }
        self.announcer.apply(|standing| standing.updated(slot_state, state_reasons.clone()));
        self.reply(Ok(Updated { slot_state, state_reasons }));
    }

    fn reply(&mut self, answer: Result<Updated, UpdateError>) {
        if let Some(request) = self.request.take() {
            // Whoever asked may have stopped waiting.
            let _ = request.reply.send(answer);
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn beat_answer(beat: &mut Option<Beat>) -> (Instant, Answer<v1::HeartbeatResponse>) {
    match beat {
        Some(beat) => (beat.sent_at, beat.call.as_mut().await),
        None => std::future::pending().await,
    }
}

async fn update_answer(
    update: &mut Option<Call<v1::UpdateCapabilitiesResponse>>,
) -> Answer<v1::UpdateCapabilitiesResponse> {
    match update {
        Some(call) => call.as_mut().await,
        None => std::future::pending().await,
    }
}
