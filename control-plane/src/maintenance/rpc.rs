//! `MaintenanceService` over gRPC.

use contracts::wire::v1::{
    GetMaintenanceRequest, GetMaintenanceResponse, SetMaintenanceRequest, SetMaintenanceResponse,
    maintenance_service_server::MaintenanceService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use super::{
    set::{SetMaintenance, set_maintenance},
    store, to_wire,
};
use crate::{
    auth,
    failure::Failure,
    leadership::{Roles, run_always},
};

/// The service. It tells in every role.
#[derive(Clone, Debug)]
pub struct Maintenances {
    roles: Roles,
    reads: PgPool,
}

impl Maintenances {
    /// Writes go through the leader, reads to the pool.
    pub fn new(roles: Roles, reads: PgPool) -> Self {
        Self { roles, reads }
    }
}

#[tonic::async_trait]
impl MaintenanceService for Maintenances {
    async fn set_maintenance(
        &self,
        request: Request<SetMaintenanceRequest>,
    ) -> Result<Response<SetMaintenanceResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let set = SetMaintenance::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run_always(&leader, move |leader| async move { set_maintenance(&leader, actor, set).await })
                .await?;
        Ok(Response::new(answer))
    }

    async fn get_maintenance(
        &self,
        _request: Request<GetMaintenanceRequest>,
    ) -> Result<Response<GetMaintenanceResponse>, Status> {
        let current = store::current(&self.reads).await.map_err(Failure::from)?;
        Ok(Response::new(GetMaintenanceResponse { maintenance: Some(to_wire(current.as_ref())) }))
    }
}
