package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// renewBefore is the time before its expiry at which a certificate should be renewed.
const renewBefore = 7 * 24 * time.Hour

// certificate checks the scaler's.
func (d *doctor) certificate() {
	if d.CertFile == "" {
		return
	}
	subject := "certificate " + d.CertFile
	content, err := os.ReadFile(d.CertFile)
	if err != nil {
		d.fault(subject, "check TLS_CERT_FILE", "%s", err)
		return
	}
	certificate := d.expiry(subject, content)
	host, _, err := net.SplitHostPort(strings.TrimPrefix(d.ScalerAddress, "dns:///"))
	if certificate == nil || err != nil {
		return
	}
	if err := certificate.VerifyHostname(host); err != nil {
		d.fault(subject, "issue it for "+host, "it is not valid for the scaler's address: %s", err)
	}
}

// expiry checks how long a certificate is valid, and returns it.
func (d *doctor) expiry(subject string, content []byte) *x509.Certificate {
	block, _ := pem.Decode(content)
	if block == nil {
		d.fault(subject, "it must be a certificate in PEM", "it holds no certificate")
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		d.fault(subject, "it must be a certificate in PEM", "%s", err)
		return nil
	}
	left := certificate.NotAfter.Sub(d.now)
	switch {
	case left < 0:
		d.fault(subject, "renew it; up to KEDA 2.19, restart the operator", "it expired at %s", certificate.NotAfter)
	case left < renewBefore:
		d.fault(subject, "renew it; up to KEDA 2.19, restart the operator", "it expires at %s", certificate.NotAfter)
	default:
		d.ok(subject, "valid until %s", certificate.NotAfter)
	}
	return certificate
}

// authentication checks the certificates that KEDA shows and trusts.
func (d *doctor) authentication(ctx context.Context, s *ownTrigger) {
	if s.authentication == "" {
		if d.CertFile != "" {
			d.fault(s.String(), "name the TriggerAuthentication with the certificates in authenticationRef", "the scaler requires TLS, and its trigger has none")
		}
		return
	}
	object, err := d.dynamic.Resource(triggerAuthentications).Namespace(s.namespace).Get(ctx, s.authentication, metav1.GetOptions{})
	if apierrors.IsForbidden(err) {
		d.unknown(s.String(), "TriggerAuthentication %s: there is no right to read it; run doctor outside of the cluster", s.authentication)
		return
	}
	if err != nil {
		d.fault(s.String(), "create it", "TriggerAuthentication %s: %s", s.authentication, err)
		return
	}
	refs, _, _ := unstructured.NestedSlice(object.Object, "spec", "secretTargetRef")
	for _, item := range refs {
		ref, _ := item.(map[string]any)
		name, _ := ref["name"].(string)
		key, _ := ref["key"].(string)
		value := d.secretKey(ctx, s, name, key)
		if parameter := ref["parameter"]; value != nil && (parameter == "caCert" || parameter == "tlsClientCert") {
			d.expiry(s.String()+", Secret "+name+", "+key, value)
		}
	}
}
