use crate::definition::{DefineOptions, define};

#[test]
fn definitions_are_checked_with_the_texts_of_the_reference() {
    let cases = [
        ("k8sAutoscale()", "must specify exactly one of ResourceName or ResourceNameTag"),
        (
            "k8sAutoscale().resourceName('a').resourceNameTag('b')",
            "must specify exactly one of ResourceName or ResourceNameTag",
        ),
        (
            "k8sAutoscale().resourceName('a').kind('pods')",
            "invalid Kind, must be 'deployments', 'replicasets' or 'replicationcontrollers', got pods",
        ),
        ("k8sAutoscale().resourceName('a').min(0)", "min must be >= 1, got 0"),
        ("k8sAutoscale().resourceName('a')", "must provide a replicas lambda expression"),
        ("swarmAutoscale()", "must specify exactly one of ServiceName or ServiceNameTag"),
        ("ec2Autoscale()", "must specify exactly one of GroupName or GroupNameTag"),
    ];
    for (call, wanted) in cases {
        let script = format!("stream|from()|{call}");
        let error = define(&script, &DefineOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), wanted, "{script}");
    }
}

#[test]
fn both_words_for_replication_controllers_are_taken() {
    for kind in ["replicationcontroller", "replicationcontrollers", "replicasets"] {
        let script = format!(
            "stream|from()|k8sAutoscale().resourceName('a').kind('{kind}').replicas(lambda: 1)|log()"
        );
        let definition = define(&script, &DefineOptions::default()).unwrap();
        assert_eq!(definition.pipeline.check(), [], "{script}");
    }
}

#[test]
fn a_node_that_is_not_built_in_says_so() {
    for call in ["k8sAutoscale().resourceName('a')", "swarmAutoscale().serviceName('a')", "ec2Autoscale().groupName('a')"] {
        let script = format!("stream|from()|{call}.replicas(lambda: int(\"v\"))");
        let definition = define(&script, &DefineOptions::default()).unwrap();
        let error = crate::testing::start(&definition).err().unwrap();
        assert!(error.contains("not built in"), "{error}");
    }
}
