package setting

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// proxyVariables name the proxies for requests to Azure DevOps.
var proxyVariables = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}

// CheckProxy reports variables that name a proxy which net/http cannot use; it
// would fail with each request. The value is not shown, since it may hold a
// password.
func (p *Problems) CheckProxy() {
	for _, name := range proxyVariables {
		if value := os.Getenv(name); value != "" && !validProxy(value) {
			p.AddError(fmt.Errorf("%s: is not a URL such as http://proxy.example.com:3128", name))
		}
	}
}

// validProxy reports whether a value is a URL or HOST:PORT of a proxy. net/http
// also takes a broken URL, for a strange host.
func validProxy(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}
