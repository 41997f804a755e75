"""tensorflow-io reads shards of an S3 server, here moto's."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import tensorflow as tf

pytestmark = [
    pytest.mark.records,
    pytest.mark.skipif(find_spec("tensorflow_io") is None, reason="needs tensorflow-io"),
]

SERVER = """
import sys
from contextlib import redirect_stdout
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
with redirect_stdout(sys.stderr):
    server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
"""

# Without os._exit the plugin's destructors may abort the process.
READER = """
import os
import tensorflow as tf
import tensorflow_io

records = tf.data.TFRecordDataset("s3://corpus/clips/s.tfrecord")
print([record.decode() for record in records.as_numpy_iterator()], flush=True)
os._exit(0)
"""

# The endpoint says http itself: tensorflow-io has done away with S3_USE_HTTPS.
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # noqa: S105
    "AWS_REGION": "us-east-1",
}


@pytest.fixture
def endpoint():
    """Address of a server in a process of its own, which ends when its stdin does."""
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def test_a_shard_is_read_from_s3(endpoint, tmp_path):
    import boto3

    with tf.io.TFRecordWriter(str(tmp_path / "s.tfrecord")) as writer:
        writer.write(b"one")
        writer.write(b"two")
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=ACCOUNT["AWS_REGION"],
        aws_access_key_id=ACCOUNT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCOUNT["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket="corpus")
    client.upload_file(str(tmp_path / "s.tfrecord"), "corpus", "clips/s.tfrecord")
    result = subprocess.run(
        [sys.executable, "-c", READER],
        env=os.environ | ACCOUNT | {"S3_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.strip() == "['one', 'two']", result.stderr
