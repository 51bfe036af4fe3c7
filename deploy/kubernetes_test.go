package deploy

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write kubernetes/monitoring/prometheusrule.yaml anew")

// rendered is what `kubectl apply -k` of a folder would send.
type rendered struct {
	t       *testing.T
	objects []runtime.Object
}

// render builds a folder of kubernetes as kustomize does, and decodes every object strictly:
// an unknown or a repeated field is an error, as it is on the server.
func render(t *testing.T, folder string) rendered {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "kubernetes/"+folder)
	require.NoError(t, err)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apps.AddToScheme, batch.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme, monitoring.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	r := rendered{t: t}
	for _, object := range built.Resources() {
		text, err := object.AsYAML()
		require.NoError(t, err)
		decoded, _, err := decoder.Decode(text, nil, nil)
		require.NoError(t, err, "%s", text)
		r.objects = append(r.objects, decoded)
	}
	return r
}

// one is the only object of a kind.
func one[T runtime.Object](r rendered) T {
	r.t.Helper()
	var found []T
	for _, object := range r.objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	require.Len(r.t, found, 1)
	return found[0]
}

func TestKubernetesRenders(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string][]string{
		"base":    {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"},
		"relay":   {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"},
		"migrate": {"ConfigMap", "Job"}, "example/migrate": {"ConfigMap", "Job"},
		"example": {"ConfigMap", "Deployment", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "ServiceAccount"},
	} {
		var kinds []string
		for _, object := range render(t, folder).objects {
			kinds = append(kinds, object.GetObjectKind().GroupVersionKind().Kind)
		}
		slices.Sort(kinds)
		require.Equal(t, want, kinds, folder)
	}
}

// pods are the templates of everything that runs.
func pods(t *testing.T) map[string]core.PodTemplateSpec {
	t.Helper()
	return map[string]core.PodTemplateSpec{
		"base":    one[*apps.Deployment](render(t, "base")).Spec.Template,
		"relay":   one[*apps.Deployment](render(t, "relay")).Spec.Template,
		"example": one[*apps.Deployment](render(t, "example")).Spec.Template,
		"migrate": one[*batch.Job](render(t, "migrate")).Spec.Template,
	}
}

// The rules of the Pod Security Standard "restricted", and ours.
func TestKubernetesGivesNoRights(t *testing.T) {
	t.Parallel()
	for name, pod := range pods(t) {
		spec, c := pod.Spec, pod.Spec.Containers[0]
		require.Len(t, spec.Containers, 1, name)
		require.Empty(t, spec.InitContainers, name)
		require.False(t, *spec.AutomountServiceAccountToken)
		require.False(t, *spec.EnableServiceLinks)
		require.False(t, spec.HostNetwork || spec.HostPID || spec.HostIPC)
		require.True(t, *spec.SecurityContext.RunAsNonRoot)
		require.EqualValues(t, 65532, *spec.SecurityContext.RunAsUser)
		require.EqualValues(t, 65532, *spec.SecurityContext.RunAsGroup)
		require.Equal(t, core.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
		require.Equal(t, []core.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
		require.Empty(t, c.SecurityContext.Capabilities.Add)
		require.NotZero(t, c.Resources.Requests.Cpu().MilliValue())
		require.Positive(t, c.Resources.Limits.Memory().Cmp(*c.Resources.Requests.Memory()))
		require.GreaterOrEqual(t, c.Resources.Requests.Memory().Value(), int64(64<<20))
		for _, v := range spec.Volumes {
			require.True(t, v.Secret != nil || v.ConfigMap != nil, "%s: %s is written to", name, v.Name)
		}
		for _, m := range c.VolumeMounts {
			require.True(t, m.ReadOnly)
			require.Empty(t, m.SubPath)
		}
	}
}

// Secrets are mounted with modes that a worker accepts, by names that it is given, and no
// setting holds one.
func TestKubernetesSecretsAreFiles(t *testing.T) {
	t.Parallel()
	for name, pod := range pods(t) {
		c := pod.Spec.Containers[0]
		require.EqualValues(t, 65532, *pod.Spec.SecurityContext.FSGroup, "the secrets' group is the process's")
		mounted := map[string]bool{}
		for _, m := range c.VolumeMounts {
			for _, v := range pod.Spec.Volumes {
				if v.Name != m.Name || v.Secret == nil {
					continue
				}
				require.EqualValues(t, 0o440, *v.Secret.DefaultMode, name)
				for _, item := range v.Secret.Items {
					require.Nil(t, item.Mode)
					mounted[m.MountPath+"/"+item.Path] = true
				}
			}
		}
		require.NotEmpty(t, mounted)
		for _, e := range c.Env {
			require.Nil(t, e.ValueFrom)
			if strings.HasPrefix(e.Value, "/") {
				require.True(t, mounted[e.Value], "%s of %s is not mounted", e.Name, name)
				delete(mounted, e.Value)
			} else {
				require.NotRegexp(t, secretWord, e.Name)
			}
		}
		require.Empty(t, mounted, "%s mounts what it does not use", name)
		for _, from := range c.EnvFrom {
			require.Nil(t, from.SecretRef)
		}
	}
	for _, folder := range []string{"base", "relay", "example", "migrate", "example/migrate"} {
		for key, value := range one[*core.ConfigMap](render(t, folder)).Data {
			require.NotRegexp(t, secretWord, key)
			require.NotRegexp(t, `://[^/@]*:[^/@]*@`, value)
			if key == "IDENTITYMESH_DB" {
				require.Contains(t, value, "sslmode=verify-full")
				require.Contains(t, value, "sslrootcert=/etc/identitymesh/ca/ca.crt")
			}
		}
	}
}

func TestKubernetesProbesAndDrains(t *testing.T) {
	t.Parallel()
	d := one[*apps.Deployment](render(t, "base"))
	c := d.Spec.Template.Spec.Containers[0]
	require.Equal(t, []string{"worker", "--metrics-addr", ":9464"}, c.Command)
	require.EqualValues(t, 9464, c.Ports[0].ContainerPort)
	for probe, path := range map[*core.Probe]string{c.StartupProbe: "/healthz", c.LivenessProbe: "/healthz", c.ReadinessProbe: "/readyz"} {
		require.Equal(t, path, probe.HTTPGet.Path)
		require.Equal(t, intstr.FromString(c.Ports[0].Name), probe.HTTPGet.Port)
	}
	require.Greater(t, c.ReadinessProbe.TimeoutSeconds, int32(2), "the worker's own time limit")
	require.Greater(t, time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds)*time.Second, workerStop)
	require.Zero(t, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
	require.EqualValues(t, project(t).Services["migrate"].Command, one[*batch.Job](render(t, "migrate")).Spec.Template.Spec.Containers[0].Command)
}

func TestKubernetesSelectsItsPods(t *testing.T) {
	t.Parallel()
	selects := func(s *meta.LabelSelector, in map[string]string) bool {
		selector, err := meta.LabelSelectorAsSelector(s)
		require.NoError(t, err)
		return selector.Matches(labels.Set(in))
	}
	base, relay, example := render(t, "base"), render(t, "relay"), render(t, "example")
	central, agent := one[*apps.Deployment](base), one[*apps.Deployment](relay)
	for r, d := range map[*rendered]*apps.Deployment{&base: central, &relay: agent} {
		for what, selector := range map[string]*meta.LabelSelector{
			"deployment": d.Spec.Selector, "budget": one[*policy.PodDisruptionBudget](*r).Spec.Selector,
			"network": &one[*networking.NetworkPolicy](*r).Spec.PodSelector,
			"spread":  d.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector,
		} {
			require.True(t, selects(selector, d.Spec.Template.Labels), what)
			require.False(t, selects(selector, map[string]string{"app": "other"}), what)
			require.NotEqual(t, selects(selector, central.Spec.Template.Labels), selects(selector, agent.Spec.Template.Labels), what)
		}
		require.Equal(t, one[*core.ServiceAccount](*r).Name, d.Spec.Template.Spec.ServiceAccountName)
		require.Equal(t, one[*core.ConfigMap](*r).Name, d.Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name)
	}
	require.False(t, selects(central.Spec.Selector, agent.Spec.Template.Labels), "both may run in one namespace")
	require.False(t, selects(agent.Spec.Selector, central.Spec.Template.Labels))
	require.Equal(t, "identitymesh-okta", one[*core.ConfigMap](base).Data["IDENTITYMESH_TASK_QUEUE"])
	require.Equal(t, "identitymesh-okta-relay", one[*core.ConfigMap](relay).Data["IDENTITYMESH_TASK_QUEUE"])
	require.Equal(t, one[*core.ConfigMap](base).Data["IDENTITYMESH_DB"], one[*core.ConfigMap](relay).Data["IDENTITYMESH_DB"])

	monitor, pod := one[*monitoring.PodMonitor](example), one[*apps.Deployment](example).Spec.Template
	require.True(t, selects(&monitor.Spec.Selector, pod.Labels))
	require.Equal(t, "identitymesh-worker", pod.Labels[monitor.Spec.JobLabel], "the job that the rules expect")
	require.Equal(t, pod.Spec.Containers[0].Ports[0].Name, *monitor.Spec.PodMetricsEndpoints[0].Port)
	require.Equal(t, "registry.example.com/identitymesh/okta-connector:v1.2.3", pod.Spec.Containers[0].Image)
	migrate := render(t, "example/migrate")
	require.Equal(t, pod.Spec.Containers[0].Image, one[*batch.Job](migrate).Spec.Template.Spec.Containers[0].Image)
	require.Equal(t, one[*core.ConfigMap](migrate).Name, one[*batch.Job](migrate).Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name)
}

// The way out is to four places, none of which is the cloud's metadata service.
func TestKubernetesNetwork(t *testing.T) {
	t.Parallel()
	p := one[*networking.NetworkPolicy](render(t, "base")).Spec
	require.Equal(t, []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress}, p.PolicyTypes)
	require.Len(t, p.Ingress, 1)
	require.Equal(t, 9464, p.Ingress[0].Ports[0].Port.IntValue())
	var ports []int
	for _, rule := range p.Egress {
		require.NotEmpty(t, rule.To, "an empty list is everywhere")
		for _, port := range rule.Ports {
			ports = append(ports, port.Port.IntValue())
		}
	}
	require.Equal(t, []int{53, 53, 5432, 7233, 443}, ports)
	require.Contains(t, p.Egress[3].To[0].IPBlock.Except, "169.254.0.0/16")
	for _, rule := range one[*networking.NetworkPolicy](render(t, "example")).Spec.Egress[1:3] {
		require.Nil(t, rule.To[0].NamespaceSelector, "an overlay replaces the place")
		require.NotNil(t, rule.To[0].IPBlock)
	}
}

// TestPrometheusRule keeps the operator's rules the same as those that promtool tests.
func TestPrometheusRule(t *testing.T) { //nolint:paralleltest // with -update it writes what others read
	text, err := os.ReadFile(filepath.Join("prometheus", "rules.yml"))
	require.NoError(t, err)
	var rules monitoring.PrometheusRuleSpec
	require.NoError(t, yaml.UnmarshalStrict(text, &rules))
	require.NotEmpty(t, rules.Groups)
	file := filepath.Join("kubernetes", "monitoring", "prometheusrule.yaml")
	if *update {
		out, err := yaml.Marshal(map[string]any{
			"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
			"metadata": map[string]string{"name": "identitymesh-worker"}, "spec": rules,
		})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append([]byte("# Made from deploy/prometheus/rules.yml; see kustomization.yaml.\n"), out...), 0o600))
	}
	got := one[*monitoring.PrometheusRule](render(t, "example"))
	require.Equal(t, rules, got.Spec, "run: go test -run PrometheusRule -update .")
}
