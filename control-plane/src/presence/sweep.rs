//! The sweep: finds the silent and demotes them.

use metrics::{counter, gauge};
use sqlx::PgPool;

use super::{
    brake::Brake,
    health::Health,
    service_time::instant_before,
    store::{self, SWEEP_ROWS_MAX},
};
use crate::{duties, failure::Fault, leadership::Leader, roster::SweptPresence, settings::Cadence};

/// What a pass did.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// The presences that changed.
    pub transitions: Vec<SweptPresence>,
    /// Whether offline was held back.
    pub held: bool,
}

/// One pass, as the leader's duty.
///
/// # Errors
///
/// The database failed; the next pass makes it good.
pub async fn pass(leader: &Leader) -> Result<(), Fault> {
    let swept = {
        let step = leader.step(duties::SWEEP, 0);
        let swept = sweep(leader.db(), leader.cadence()).await;
        if swept.as_ref().is_err_and(Fault::is_unanswered) {
            step.unanswered();
        }
        swept?
    };
    leader.fleet().swept(&swept.transitions);
    gauge!("rollcall_presence_brake_holding").set(f64::from(u8::from(swept.held)));
    for transition in &swept.transitions {
        let to = match transition.presence.health {
            Health::Online => "online",
            Health::Degraded(_) => "degraded",
            Health::Offline(_) => "offline",
        };
        counter!("rollcall_sweep_transitions_total", "to" => to).increment(1);
    }
    Ok(())
}

/// Demotes every node that is silent for too long, in service time. Takes no list of suspects: a pass that was missed
/// is made good by the next, and a pass at the same instant changes nothing.
///
/// # Errors
///
/// The database failed. What earlier statements of the pass changed stays changed.
pub async fn sweep(db: &PgPool, cadence: &Cadence) -> Result<Swept, Fault> {
    let (windows, now) = store::windows(db).await?;
    let Some(degraded_before) = instant_before(&windows, cadence.degraded_after()) else {
        // There was not enough service yet to call anybody silent.
        return Ok(Swept::default());
    };
    let offline_before = instant_before(&windows, cadence.offline_after());
    if let Some(offline_before) = offline_before {
        store::fold_windows(db, offline_before).await?;
    }

    let (silent, not_offline) = store::count_silent(db, degraded_before).await?;
    let held_since = store::held_since(db).await?;
    let brake = Brake::next(held_since, silent, not_offline, now, cadence.brake_hold());
    if brake.held_since() != held_since {
        store::set_held_since(db, brake.held_since()).await?;
        tell(brake, silent, not_offline, cadence);
    } else if matches!(brake, Brake::Spent(since) if now - since < cadence.brake_hold() + cadence.sweep_interval())
    {
        tell(brake, silent, not_offline, cadence);
    }

    let mut transitions = Vec::new();
    if silent > 0 {
        loop {
            let offline_before = offline_before.filter(|_| !brake.holds());
            let demoted = store::demote(db, degraded_before, offline_before).await?;
            let is_last = (demoted.len() as i64) < SWEEP_ROWS_MAX;
            transitions.extend(demoted);
            if is_last {
                break;
            }
        }
    }
    Ok(Swept { transitions, held: brake.holds() })
}

fn tell(brake: Brake, silent: i64, not_offline: i64, cadence: &Cadence) {
    match brake {
        Brake::Holding(_) => tracing::error!(
            silent,
            not_offline,
            "most of the fleet fell silent at once: nobody is called offline for {}",
            humantime::format_duration(cadence.brake_hold())
        ),
        Brake::Spent(_) => {
            tracing::error!(silent, not_offline, "the mass-offline brake lets go: most are still silent")
        }
        Brake::Released => tracing::info!(silent, not_offline, "the mass-offline brake is released"),
    }
}
