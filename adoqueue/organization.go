package adoqueue

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const (
	servicesHost   = "dev.azure.com"
	oldServiceHost = ".visualstudio.com"
)

// OrganizationURL is the address of an organization of Azure DevOps Services
// or of a collection of an Azure DevOps Server.
type OrganizationURL struct {
	base *url.URL
}

// ParseOrganizationURL reads an address such as https://dev.azure.com/contoso,
// https://contoso.visualstudio.com or https://server/tfs/DefaultCollection,
// with or without a slash at its end.
func ParseOrganizationURL(text string) (OrganizationURL, error) {
	// Errors do not quote the text, which may hold a password or a token.
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return OrganizationURL{}, errors.New("is not a URL; it has the form https://dev.azure.com/ORGANIZATION")
	}
	switch {
	case u.User != nil:
		return OrganizationURL{}, errors.New("holds a user or password; use the setting of the token")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return OrganizationURL{}, errors.New("does not begin with https://HOST")
	case u.RawQuery != "" || u.Fragment != "":
		return OrganizationURL{}, errors.New("has a query or fragment; end it after the organization's name")
	}
	u.Host = strings.ToLower(u.Host)
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	if err := withoutProject(u); err != nil {
		return OrganizationURL{}, err
	}
	return OrganizationURL{base: u}, nil
}

// withoutProject refuses an address of Azure DevOps Services that goes on after
// the organization: people copy it from a project's page.
func withoutProject(u *url.URL) error {
	host := u.Hostname()
	switch {
	case host == servicesHost && strings.Count(u.Path, "/") != 1:
		return errors.New("must be https://" + servicesHost + "/ORGANIZATION, without a project")
	case strings.HasSuffix(host, oldServiceHost) && u.Path != "" && !strings.EqualFold(u.Path, "/DefaultCollection"):
		return errors.New("must be https://ORGANIZATION" + oldServiceHost + ", without a project")
	default:
		return nil
	}
}

// UnmarshalText reads what ParseOrganizationURL reads.
func (o *OrganizationURL) UnmarshalText(text []byte) error {
	parsed, err := ParseOrganizationURL(string(text))
	if err == nil {
		*o = parsed
	}
	return err
}

// IsZero reports whether there is no address.
func (o OrganizationURL) IsZero() bool { return o.base == nil }

// String returns the address without a slash at its end, "" for the zero value.
func (o OrganizationURL) String() string {
	if o.IsZero() {
		return ""
	}
	return o.base.String()
}

// Same reports whether both name one organization: case, a slash at the end, and
// the old and the new form of the address do not matter.
func (o OrganizationURL) Same(other OrganizationURL) bool { return o.key() == other.key() }

func (o OrganizationURL) key() string {
	host, path := o.base.Host, strings.ToLower(o.base.Path)
	if name, ok := strings.CutSuffix(host, oldServiceHost); ok && (path == "" || path == "/defaultcollection") {
		return "https://" + servicesHost + "/" + name
	}
	return o.base.Scheme + "://" + host + path
}

// CheckTransport returns an error if a credential must not be sent there: over plain
// http, unless to this very machine.
func (o OrganizationURL) CheckTransport(allowHTTP bool) error {
	if allowHTTP || o.safe() {
		return nil
	}
	return fmt.Errorf("organization %s: a credential is not sent over plain http; use https, or ALLOW_HTTP", o)
}

func (o OrganizationURL) safe() bool {
	host := o.base.Hostname()
	ip := net.ParseIP(host)
	return o.base.Scheme == "https" || host == "localhost" || ip != nil && ip.IsLoopback()
}

// RunURL returns the page of a request's pipeline run, "" if it has none.
func (o OrganizationURL) RunURL(r *JobRequest) string {
	if o.IsZero() || r.RunID == 0 || r.Project == "" {
		return ""
	}
	return o.endpoint(url.Values{"buildId": {strconv.FormatInt(r.RunID, 10)}}, url.PathEscape(r.Project), "_build", "results")
}

// endpoint returns the address of a resource of the organization.
func (o OrganizationURL) endpoint(query url.Values, path ...string) string {
	u := o.base.JoinPath(path...)
	u.RawQuery = query.Encode()
	return u.String()
}
