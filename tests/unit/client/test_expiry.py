"""When a client certificate ends, read without a library."""

from datetime import timedelta

import pytest
from cryptography import x509

from kybern.client.kubeconfig import ClientConfig, connect, expiry
from kybern.process.daemon import OperatorError
from kybern.testing import certificates


@pytest.mark.parametrize("days", [1, 3650, 365 * 60])
def test_it_is_as_the_library_reads_it(days):
    pem = certificates.certificate("somebody", certificates.key(), life=timedelta(days=days))
    assert expiry(b"# a comment\n" + pem) == x509.load_pem_x509_certificate(pem).not_valid_after_utc


@pytest.mark.parametrize("text", ["", "aGVsbG8=", "aGVsbG8", "!"])
def test_what_is_no_certificate_has_none(text):
    assert expiry(text.encode()) is None
    assert expiry(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode()) is None


def test_an_expired_certificate_is_an_operator_error():
    key = certificates.key()
    old = certificates.certificate("somebody", key, age=timedelta(days=2))
    with pytest.raises(OperatorError, match=r"https://h expired on \d{4}-\d\d-\d\d; have a new one issued"):
        connect(ClientConfig("https://h", cert_data=old, key_data=certificates.key_pem(key)))
