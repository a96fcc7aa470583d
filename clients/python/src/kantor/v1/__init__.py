"""Messages of kantor.v1, generated from proto/kantor/v1: `from kantor.v1 import loss_service_pb2`."""
