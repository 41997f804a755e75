"""`tf.train.Example` without TensorFlow: the same fields under the same numbers, so the same bytes.

message Example { map<string, Feature> features.feature = 1; }
message Feature { oneof kind { bytes_list, float_list, int64_list: a list `value` } }
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "keras_videoprism"
_Field = descriptor_pb2.FieldDescriptorProto


def _add(messages: Any, name: str, *fields: tuple[str, Any], repeated: bool = False) -> Any:
    """Adds a message; a field's number is its place, its type a scalar's or a message's name."""
    message = messages.add(name=name)
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    for number, (field, kind) in enumerate(fields, 1):
        declared = message.field.add(name=field, number=number, label=label)
        if isinstance(kind, str):
            declared.type, declared.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        else:
            declared.type = kind
    return message


def _declare() -> type:
    file = descriptor_pb2.FileDescriptorProto(name="example", package=_PACKAGE, syntax="proto3")
    messages = file.message_type
    _add(messages, "BytesList", ("value", _Field.TYPE_BYTES), repeated=True)
    _add(messages, "FloatList", ("value", _Field.TYPE_FLOAT), repeated=True)
    _add(messages, "Int64List", ("value", _Field.TYPE_INT64), repeated=True)
    lists = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))
    feature = _add(messages, "Feature", *lists)
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = _add(messages, "Features", ("feature", "Features.FeatureEntry"), repeated=True)
    entry = ("key", _Field.TYPE_STRING), ("value", "Feature")
    _add(features.nested_type, "FeatureEntry", *entry).options.map_entry = True
    _add(messages, "Example", ("features", "Features"))
    pool = descriptor_pool.DescriptorPool()  # not the common one, where TensorFlow's lies
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


Example: Any = _declare()
