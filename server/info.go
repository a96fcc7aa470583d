package server

import (
	"context"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// lossOneof is the oneof of a term that says which loss it is.
var lossOneof = (&kantorv1.Term{}).ProtoReflect().Descriptor().Oneofs().ByName("loss")

// lossNames lists the losses that a term can name.
func lossNames() []string { return fieldNames(lossOneof) }

// diagnosticNames lists the diagnostics that a request can name.
func diagnosticNames() []string { return fieldNames(diagnosticOneof) }

// fieldNames lists the cases of a oneof.
func fieldNames(oneof protoreflect.OneofDescriptor) []string {
	names := make([]string, oneof.Fields().Len())
	for i := range names {
		names[i] = string(oneof.Fields().Get(i).Name())
	}
	return names
}

// lossName is the loss that a term names; empty: none.
func lossName(t *kantorv1.Term) string {
	if fd := t.ProtoReflect().WhichOneof(lossOneof); fd != nil {
		return string(fd.Name())
	}
	return ""
}

// termKinds are the losses that an objective's terms name.
func termKinds(objective *kantorv1.Objective) []string {
	kinds := make([]string, len(objective.GetTerms()))
	for i, t := range objective.GetTerms() {
		kinds[i] = lossName(t)
	}
	return kinds
}

// lossMessage returns the parameters of a term that names a loss.
func lossMessage(t *kantorv1.Term) protoreflect.Message {
	return t.ProtoReflect().Mutable(t.ProtoReflect().WhichOneof(lossOneof)).Message()
}

// infoService tells what the server is.
type infoService struct {
	kantorv1.UnimplementedInfoServiceServer
	server *Server
}

// GetServerInfo implements InfoService.
func (i infoService) GetServerInfo(_ context.Context, req *kantorv1.GetServerInfoRequest) (*kantorv1.GetServerInfoResponse, error) {
	if err := refuseUnknown("", req.ProtoReflect()); err != nil {
		return nil, toStatus(err).Err()
	}
	limits := i.server.config.admission()
	return &kantorv1.GetServerInfoResponse{
		Build: i.server.evaluator.build(),
		Limits: &kantorv1.Limits{
			MessageBytes: int64(i.server.config.MessageBytes),
			Points:       losses.MaxPoints,
			Dimension:    losses.MaxDimension,
			Terms:        losses.MaxTerms,
			Window:       int32(i.server.config.Window),
			Problems:     losses.MaxProblems,
			MemoryBytes:  limits.Most(),
			Queue:        int32(limits.PerCaller),
			RunningSmall: int32(limits.Small),
			RunningLarge: int32(limits.Large),
			QueueWait:    durationpb.New(limits.Wait),
			StreamIdle:   durationpb.New(i.server.config.StreamIdle),
		},
		Losses:      lossNames(),
		Threads:     int32(losses.Processors()),
		Diagnostics: diagnosticNames(),
	}, nil
}
