//! `LeadershipService` over gRPC.

use contracts::wire::v1::{
    Abdication, GetLeadershipRequest, GetLeadershipResponse, LeadershipRole, StepDownRequest,
    StepDownResponse, leadership_service_server::LeadershipService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use super::{
    Role, Roles,
    locks::LockNamespace,
    run_always,
    step_down::{StepDown, SteppedDown, step_down},
    store,
};
use crate::{auth, failure::Failure, wire};

/// The service.
#[derive(Clone, Debug)]
pub struct Leadership {
    roles: Roles,
    reads: PgPool,
    lock_namespace: LockNamespace,
}

impl Leadership {
    /// The role is this server's, the rest is read from the pool.
    pub fn new(roles: Roles, reads: PgPool, lock_namespace: LockNamespace) -> Self {
        Self { roles, reads, lock_namespace }
    }

    async fn read(&self) -> Result<GetLeadershipResponse, Failure> {
        let mut db = self.reads.acquire().await?;
        let status = store::status(&mut db, self.lock_namespace).await?;
        let abdications = store::abdications(&mut *db).await?;
        let role = match self.roles.current() {
            Role::Standby { .. } => LeadershipRole::Standby,
            Role::Recovering => LeadershipRole::Recovering,
            Role::Active(_) => LeadershipRole::Active,
        };
        Ok(GetLeadershipResponse {
            role: role.into(),
            epoch: status.epoch,
            state: status.state,
            leader_address: status.address.unwrap_or_default(),
            since: status.since.map(wire::timestamp),
            renewed_at: status.renewed_at.map(wire::timestamp),
            standbys: i32::try_from(status.standbys).unwrap_or(i32::MAX),
            abdications: abdications
                .into_iter()
                .map(|last| Abdication {
                    duty: last.duty,
                    epoch: last.epoch,
                    at: Some(wire::timestamp(last.at)),
                })
                .collect(),
        })
    }
}

#[tonic::async_trait]
impl LeadershipService for Leadership {
    async fn get_leadership(
        &self,
        _request: Request<GetLeadershipRequest>,
    ) -> Result<Response<GetLeadershipResponse>, Status> {
        Ok(Response::new(self.read().await?))
    }

    async fn step_down(
        &self,
        request: Request<StepDownRequest>,
    ) -> Result<Response<StepDownResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let request = StepDown::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        match run_always(&leader, move |leader| async move { step_down(&leader, actor, request).await })
            .await?
        {
            SteppedDown::NotNow(answer) => Ok(Response::new(answer)),
            SteppedDown::Now(answer) => {
                // When this is answered, this server refuses writes.
                leader.stopped().cancelled().await;
                Ok(Response::new(answer))
            }
        }
    }
}
