package setting

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// Secret is a setting that has a variable but no flag, since every process can
// read the arguments of others. It prints as [secret].
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// File is the path of a file that can be read.
type File string

// UnmarshalText reads a path, and the file.
func (f *File) UnmarshalText(text []byte) error {
	if _, err := secrets.Read(context.Background(), string(text)); err != nil {
		return err
	}
	*f = File(text)
	return nil
}

// Address is HOST:PORT or :PORT to listen on or to connect to.
type Address string

// UnmarshalText reads an address.
func (a *Address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(string(text), "dns:///"))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s is not an address of the form HOST:PORT or :PORT", quote(string(text)))
	}
	*a = Address(text)
	return nil
}

// Pairs is a comma-separated list such as disk=ssd,zone=a.
type Pairs map[string]string

// UnmarshalText reads a list.
func (p *Pairs) UnmarshalText(text []byte) error {
	*p = Pairs{}
	for _, item := range Split(string(text)) {
		name, value, ok := strings.Cut(item, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return fmt.Errorf("%s does not have the form name=value", quote(item))
		}
		if _, twice := (*p)[name]; twice {
			return fmt.Errorf("%s is given twice", quote(name))
		}
		(*p)[name] = strings.TrimSpace(value)
	}
	return nil
}
