package adoqueue

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// failure returns err as an Error about the call. It is the one exit of all
// errors of a client: no foreign text leaves it raw, nor a credential.
func (x *exchange) failure(q call, err error) error {
	if err == nil {
		return nil
	}
	failure := Error{Hint: hintRetry, kind: ErrUnavailable, cause: err}
	if known, ok := errors.AsType[*Error](err); ok {
		failure = *known
	}
	failure.Operation = q.operation
	failure.Message = x.shown(failure.Message)
	failure.TypeKey = identifierOf(x.shown(failure.TypeKey))
	failure.ActivityID = identifierOf(x.shown(failure.ActivityID))
	if failure.cause != nil {
		failure.detail = x.shown(failure.cause.Error())
	}
	if errors.Is(&failure, ErrForbidden) && q.method != "" {
		failure.Hint = hintManage
	}
	return &failure
}

// unanswered makes an error of a request that got no answer. One that the
// pipeline refused to send is an Error already.
func unanswered(err error) error {
	if failure, ok := errors.AsType[*Error](err); ok {
		return failure
	}
	// Without its cause, a url.Error names only method and address, which the
	// operation says better.
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return &Error{Hint: hintUnanswered(err), kind: ErrUnavailable, cause: err}
}

// hintUnanswered says what to do about a request that got no answer.
func hintUnanswered(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "let CA_FILE (of an agent AZP_CA_FILE) name a file with the certificate authority of the server, or of the proxy that intercepts TLS"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another host name: check the host in the organization URL"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the certificate has expired or is not valid yet: renew that of the server, or correct this machine's clock"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "check the certificate of the server"
	}
	return "check the organization URL, the network and the proxy settings"
}

// undecodable makes an error of an answer that broke off or is not what was
// requested.
func undecodable(err error) *Error {
	if failed, ok := errors.AsType[*readError](err); ok {
		return &Error{Hint: hintRetry, kind: ErrUnavailable, cause: failed}
	}
	// encoding/json quotes the value that it could not take.
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		item, _, _ := strings.Cut(err.Error(), "json: ")
		err = fmt.Errorf("%sfield %q is a %s", item, mismatch.Field, strings.SplitN(mismatch.Value, " ", 2)[0])
	}
	return &Error{
		Message: "the answer cannot be read", cause: err,
		Hint: "check the organization URL and what stands between here and Azure DevOps", kind: ErrUnavailable,
	}
}

// succeeded reports whether a status means that all of the answer is there. A
// part of a list (206) must not be treated as the list.
func succeeded(method string, status int) bool {
	if method == "" || method == http.MethodGet {
		return status == http.StatusOK
	}
	return slices.Contains([]int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}, status)
}

// failureOf returns the error that an answer is, or nil if it is a success.
func failureOf(q call, response *http.Response, body *bufio.Reader) *Error {
	status := response.StatusCode
	signIn := isHTML(response.Header, body)
	if succeeded(q.method, status) && !signIn {
		return nil
	}
	failure := &Error{
		Status:     status,
		ActivityID: activityID(response.Header),
		RetryAfter: retryAfter(response.Header, time.Now()),
	}
	failure.Hint, failure.kind = kindOf(status)
	if !succeeded(q.method, status) {
		text, _ := io.ReadAll(body) // bounded by the transport; what has come is worth showing
		failure.TypeKey, failure.Message = decodeFailure(text)
	}
	if failure.Message == "" {
		// It is percent-encoded, and sometimes the only word there is.
		failure.Message = unescape(response.Header.Get("X-TFS-ServiceError"))
	}
	if signIn && status < 300 {
		failure.kind, failure.Hint = ErrUnauthorized, hintCredential
		failure.Message = "the answer is a web page, as for signing in"
	}
	return failure
}

func isHTML(header http.Header, body *bufio.Reader) bool {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if mediaType == "text/html" {
		return true
	}
	start, _ := body.Peek(512) // what it cannot read, the decoder cannot either
	return isPage(start)
}
