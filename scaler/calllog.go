package scaler

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// logEvery is how often it is logged that calls for a ScaledJob keep failing.
	logEvery = time.Minute
	// maxFailing is of how many ScaledJobs out of view failures are logged one by
	// one: any caller can make up names.
	maxFailing = 200
	// maxName is the longest name in Kubernetes.
	maxName = 253
)

// callLog logs calls once they have ended: at level debug all, else failing ones,
// and of those about a ScaledJob one a minute, since KEDA goes on calling while
// Azure DevOps is down. A call that is not logged costs next to nothing.
type callLog struct {
	logger *zap.Logger
	inView func(plan.Key) bool

	open    atomic.Int32 // of failing; nearly always none
	mu      sync.Mutex
	failing map[plan.Key]*failing
	swept   time.Time
}

// failing is what is known of calls for a ScaledJob that failed a short time ago.
type failing struct {
	failedAt, loggedAt time.Time
	// unlogged counts the failures since loggedAt.
	unlogged int
	// open reports whether it was logged that calls fail, and not yet that they
	// succeed again.
	open bool
}

func newCallLog(logger *zap.Logger, inView func(plan.Key) bool) *callLog {
	return &callLog{logger: logger, inView: inView, failing: map[plan.Key]*failing{}}
}

func (l *callLog) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	begin := time.Now()
	response, err := handler(ctx, request)
	key, decides := subject(request)
	if entry, unlogged := l.entry(key, err); entry != nil {
		entry.Write(append(fields(ctx, info.FullMethod, begin, err), caller(key, unlogged)...)...)
	}
	if err == nil && decides && l.open.Load() > 0 {
		l.succeeded(key)
	}
	return response, err
}

func (l *callLog) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	begin := time.Now()
	err := handler(service, stream)
	if entry, unlogged := l.entry(plan.Key{}, err); entry != nil {
		entry.Write(append(fields(stream.Context(), info.FullMethod, begin, err), caller(plan.Key{}, unlogged)...)...)
	}
	return err
}

// subject returns the ScaledJob that a call is about, and whether a success of the
// call shows that the ScaledJob works: GetMetricSpec always succeeds.
func subject(request any) (key plan.Key, decides bool) {
	switch r := request.(type) {
	case *externalscaler.ScaledObjectRef:
		return bounded(keyOf(r)), false
	case *externalscaler.GetMetricsRequest:
		return bounded(keyOf(r.GetScaledObjectRef())), true
	default:
		return plan.Key{}, false
	}
}

// bounded returns no key in place of one that Kubernetes would not accept.
func bounded(key plan.Key) plan.Key {
	if len(key.Namespace) > maxName || len(key.Name) > maxName {
		return plan.Key{}
	}
	return key
}

// entry returns nil if a call with this end is not logged, and how many failures of
// the same ScaledJob were not.
func (l *callLog) entry(key plan.Key, err error) (entry *zapcore.CheckedEntry, unlogged int) {
	code := status.Code(err)
	if code == codes.OK || code == codes.Canceled {
		return l.logger.Check(zap.DebugLevel, "finished call"), 0
	}
	now, unlogged := l.failed(key)
	if !now {
		return l.logger.Check(zap.DebugLevel, "call failed"), 0
	}
	return l.logger.Check(levelOf(code), "call failed"), unlogged
}

func fields(ctx context.Context, method string, begin time.Time, err error) []zap.Field {
	fields := []zap.Field{
		zap.String("grpc.method", method),
		zap.String("grpc.code", status.Code(err).String()),
		zap.Duration("grpc.duration", time.Since(begin)),
		zap.String("peer.address", peerOf(ctx)),
	}
	if err != nil {
		fields = append(fields, zap.String("grpc.error", status.Convert(err).Message()))
	}
	return fields
}

// caller returns whose call it is.
func caller(key plan.Key, unlogged int) (fields []zap.Field) {
	if key != (plan.Key{}) {
		fields = append(fields, zap.String("namespace", key.Namespace), zap.String("name", key.Name))
	}
	if unlogged > 0 {
		fields = append(fields, zap.Int("failuresNotLogged", unlogged))
	}
	return fields
}

// levelOf returns the level of a failure: mistakes of ours are errors.
func levelOf(code codes.Code) zapcore.Level {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return zapcore.ErrorLevel
	default:
		return zapcore.WarnLevel
	}
}

// failed takes in that a call has failed, and reports whether to log it now, with
// the number of failures since the last one that was.
func (l *callLog) failed(key plan.Key) (now bool, unlogged int) {
	at := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(at)
	f := l.failing[key]
	if f == nil {
		if len(l.failing) >= maxFailing && !l.inView(key) {
			key = plan.Key{} // they share one entry
		}
		if f = l.failing[key]; f == nil {
			f = &failing{}
			l.failing[key] = f
		}
	}
	f.failedAt = at
	if !f.loggedAt.IsZero() && at.Sub(f.loggedAt) < logEvery {
		f.unlogged++
		return false, 0
	}
	if !f.open {
		f.open = true
		l.open.Add(1)
	}
	unlogged, f.unlogged, f.loggedAt = f.unlogged, 0, at
	return true, unlogged
}

// succeeded logs that calls for a ScaledJob succeed again, if it was logged that
// they fail. The record stays for a while, so that a ScaledJob whose calls succeed
// and fail in turn is logged once a minute too.
func (l *callLog) succeeded(key plan.Key) {
	l.mu.Lock()
	f := l.failing[key]
	again := f != nil && f.open
	if again {
		f.open = false
		l.open.Add(-1)
	}
	l.mu.Unlock()
	if again {
		l.logger.Info("calls succeed again", caller(key, 0)...)
	}
}

// sweep forgets the ScaledJobs whose calls have not failed for a while. The caller
// holds the lock.
func (l *callLog) sweep(at time.Time) {
	if at.Sub(l.swept) < logEvery {
		return
	}
	l.swept = at
	for key, f := range l.failing {
		if at.Sub(f.failedAt) > 2*logEvery {
			if f.open {
				l.open.Add(-1)
			}
			delete(l.failing, key)
		}
	}
}
