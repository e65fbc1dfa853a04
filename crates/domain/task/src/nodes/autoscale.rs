//! `k8sAutoscale`, `swarmAutoscale`, `ec2Autoscale`: they parse, check and print; running them is not built in yet.

use levada_tick::lambda::Program;
use levada_tick::script::Value;

use crate::property::types::exactly;
use crate::property::{Lambda, Nanos, Text};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// What they share.
struct Common<'c> {
    min: i64,
    replicas: &'c Lambda,
}

/// Makes one of the nodes: its own properties, then those of all of them.
macro_rules! autoscale {
    (
        $type:ident, $kind:ident, $method:literal, $go:literal, $desc:literal, $summary:literal,
        { $($name:literal => $field:ident = $default:expr),* $(,)? }
    ) => {
        #[doc = $summary]
        #[derive(Clone, Debug)]
        pub struct $type {
            $($field: Text,)*
            cluster: Text,
            current_field: Text,
            max: i64,
            min: i64,
            replicas: Lambda,
            increase_cooldown: Nanos,
            decrease_cooldown: Nanos,
        }

        crate::properties! {
            $type {
                "cluster" => cluster,
                $($name => $field,)*
                "currentField" => current_field,
                "max" => max,
                "min" => min,
                "replicas" => replicas,
                "increaseCooldown" => increase_cooldown,
                "decreaseCooldown" => decrease_cooldown,
            }
        }

        #[doc = $summary]
        pub static $kind: Kind = Kind {
            name: $method,
            type_name: $go,
            desc: $desc,
            json_type: $method,
            summary: $summary,
            wants: EdgeRule::SameAsParent,
            provides: EdgeRule::Fixed(Edge::Stream),
            chain: |builder, parent, _name, args| {
                exactly::<0>(args)?;
                builder.add(parent, Box::new($type::default()))
            },
            empty: || Box::new($type::default()),
        };

        impl Default for $type {
            fn default() -> Self {
                $type {
                    $($field: Text(String::from($default)),)*
                    cluster: Text::default(),
                    current_field: Text::default(),
                    max: 0,
                    min: MIN_DEFAULT,
                    replicas: Lambda::default(),
                    increase_cooldown: Nanos::default(),
                    decrease_cooldown: Nanos::default(),
                }
            }
        }

        impl Spec for $type {
            fn kind(&self) -> &'static Kind {
                &$kind
            }

            spec_properties!();
            spec_json!();

            fn args(&self) -> Vec<Value> {
                Vec::new()
            }

            fn validate(&self) -> Result<(), String> {
                self.check_resource()?;
                Common { min: self.min, replicas: &self.replicas }.validate()
            }

            fn check(&self, _provides: Edge) -> Result<(), String> {
                Common { min: self.min, replicas: &self.replicas }.check()
            }

            fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
                self.check(Edge::None)?;
                Err(format!("cannot use the {} node: it is not built in yet", $method))
            }

            fn not_built_in(&self) -> Option<&'static str> {
                Some(concat!("the ", $method, " node"))
            }
        }
    };
}

/// Source of the defaults: kapacitor reference §5.25.
const MIN_DEFAULT: i64 = 1;

autoscale! {
    K8sAutoscale, K8S, "k8sAutoscale", "K8sAutoscaleNode", "k8s_autoscale",
    "sets the replicas of a Kubernetes resource",
    {
        "namespace" => namespace = "",
        "kind" => resource_kind = "deployments",
        "resourceName" => resource_name = "",
        "resourceNameTag" => resource_name_tag = "",
        "namespaceTag" => namespace_tag = "namespace",
        "kindTag" => kind_tag = "kind",
        "resourceTag" => resource_tag = "resource",
    }
}

autoscale! {
    SwarmAutoscale, SWARM, "swarmAutoscale", "SwarmAutoscaleNode", "swarm_autoscale",
    "sets the replicas of a Docker Swarm service",
    {
        "serviceName" => service_name = "",
        "serviceNameTag" => service_name_tag = "",
        "outputServiceNameTag" => output_service_name_tag = "",
    }
}

autoscale! {
    Ec2Autoscale, EC2, "ec2Autoscale", "Ec2AutoscaleNode", "ec2_autoscale",
    "sets the size of an EC2 auto scaling group",
    {
        "groupName" => group_name = "",
        "groupNameTag" => group_name_tag = "",
        "outputGroupNameTag" => output_group_name_tag = "",
    }
}

/// Upstream's own list has the singular where its message has the plural: both are taken (U-24).
const RESOURCE_KINDS: [&str; 4] =
    ["deployments", "replicasets", "replicationcontroller", "replicationcontrollers"];

fn exactly_one(one: &Text, other: &Text, what: &str) -> Result<(), String> {
    if one.0.is_empty() != other.0.is_empty() {
        return Ok(());
    }
    Err(format!("must specify exactly one of {what} or {what}Tag"))
}

// === impl K8sAutoscale ===

impl K8sAutoscale {
    fn check_resource(&self) -> Result<(), String> {
        exactly_one(&self.resource_name, &self.resource_name_tag, "ResourceName")?;
        let kind = self.resource_kind.0.as_str();
        if RESOURCE_KINDS.contains(&kind) {
            return Ok(());
        }
        Err(format!(
            "invalid Kind, must be 'deployments', 'replicasets' or 'replicationcontrollers', got {kind}"
        ))
    }
}

// === impl SwarmAutoscale ===

impl SwarmAutoscale {
    fn check_resource(&self) -> Result<(), String> {
        exactly_one(&self.service_name, &self.service_name_tag, "ServiceName")
    }
}

// === impl Ec2Autoscale ===

impl Ec2Autoscale {
    fn check_resource(&self) -> Result<(), String> {
        exactly_one(&self.group_name, &self.group_name_tag, "GroupName")
    }
}

// === impl Common ===

impl Common<'_> {
    fn validate(&self) -> Result<(), String> {
        if self.min < 1 {
            return Err(format!("min must be >= 1, got {}", self.min));
        }
        match self.replicas.0 {
            Some(_) => Ok(()),
            None => Err("must provide a replicas lambda expression".to_owned()),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Some(replicas) = self.replicas.0.as_deref() else { return Ok(()) };
        match Program::compile(replicas) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("Failed to compile replicas expression: {error}")),
        }
    }
}
