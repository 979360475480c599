// Package externalscaler is the generated Go code of KEDA's external scaler
// contract (KEDA 2.21).
//
// It must not be linked into one binary with KEDA's own package of the same
// contract: both register the file externalscaler.proto, which the protobuf
// runtime refuses.
package externalscaler

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate --template ../buf.gen.yaml --output .. ../..
