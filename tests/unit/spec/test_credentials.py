"""What certainly is a credential, and which variables sound as if they held one."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.credentials import form_of, may_be_secret


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("postgresql://app:hunter2@db/x", "an address with a password"),
        ("see redis://:pw@h:6379/0", "an address with a password"),
        ("AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("ghp_" + "a1" * 18, "a GitHub token"),
        ("github_pat_" + "a1" * 12, "a GitHub token"),
        ("glpat-" + "a1" * 10, "a GitLab token"),
        ("hf_" + "aB" * 17, "a Hugging Face token"),
        ("xoxb-123456789012-abc", "a Slack token"),
        ("sk_live_" + "a1" * 12, "a Stripe key"),
        ("sk-proj-" + "a1" * 12, "an API key"),
        ("sk-" + "aB" * 24, "an API key"),
        ("AIza" + "a1" * 17 + "b", "a Google API key"),
        ("dapi" + "0f" * 16, "a Databricks token"),
        ("npm_" + "aB" * 18, "a token of a package index"),
        ("AccountName=x;AccountKey=" + "aB" * 30 + "==", "an Azure key"),
        ("-----BEGIN PRIVATE KEY-----\\nMII", "a private key"),
        ("{'key': '-----BEGIN RSA PRIVATE KEY-----'}", "a private key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk", "a signed token (JWT)"),
    ],
)
def test_what_certainly_is_a_credential(text: str, form: str) -> None:
    assert form_of(text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "postgresql://app@db/x",
        "ssh://git@github.com/a/b",
        "https://h:8080/a@b",
        "mysql://u:${DB_PASSWORD}@h",
        "https://$USER:$PW@h",
        "x://u:{{.inputs.pw}}@h",
        "x://u:<password>@h",
        "x://u:***@h",
        "sk-learn-models-of-the-last-year",
        "hello: world@example.com",
        "AKIAIOSFODNN7",
        "-----BEGIN CERTIFICATE-----",
        "72a735a6d7209b5ec35f98f672a735a6d7209b5e",
    ],
)
def test_what_may_be_none(text: str) -> None:
    assert form_of(text) == ""


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "db-password",
        "PGPASSWORD",
        "MYSQL_PWD",
        "GITHUB_TOKEN",
        "OPENAI_API_KEY",
        "_FSEC_A_SECRET",
        "TOKEN_2",
    ],
)
def test_names_that_sound_like_a_secret(name: str) -> None:
    assert may_be_secret(name, "x1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "x"),
        ("SECRET_NAME", "db"),
        ("PASSWORD_FILE", "x"),
        ("PARTITION_KEY", "day"),
        ("KEYBOARD", "x"),
        ("MAX_TOKEN", "512"),
        ("PASSWORD", ""),
        ("PASSWORD", " "),
        ("USE_TOKEN", "true"),
        ("SECRET", "/etc/flyte/secrets/db"),
        ("TOKEN", "$OTHER"),
    ],
)
def test_names_and_values_that_do_not(name: str, value: str) -> None:
    assert not may_be_secret(name, value)
