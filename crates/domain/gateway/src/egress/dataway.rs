//! Dataways.

use std::sync::Arc;

use async_trait::async_trait;
use levada_clients::dataway::{Dataway, DatawayOptions, Endpoint};

use super::{Open, OpenReceiverError, Tools};
use crate::deliver::{DatawayReceiver, Receiver};
use crate::destination::EndpointSpec;

pub(super) struct Opener;

#[async_trait]
impl Open for Opener {
    async fn open(
        &self,
        endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        let url = Endpoint::parse(&endpoint.url, Some(&endpoint.token))?;
        let mut options = DatawayOptions {
            tls: endpoint.tls.clone(),
            proxy: endpoint.proxy.clone(),
            timeout: endpoint.timeout,
            net: tools.net.clone(),
            ..DatawayOptions::default()
        };
        if !endpoint.user_agent.is_empty() {
            options.user_agent.clone_from(&endpoint.user_agent);
        }
        let client = Dataway::new(&url, options).await?;
        Ok(Arc::new(DatawayReceiver::new(client, url)))
    }
}
