"""The S3 sink: finished audio in a bucket, through any endpoint that speaks S3. The only import of boto3 and botocore.

Every object carries which attempt it is of. Before each write the object that is there is looked at, and the write is
made conditional on it where the endpoint takes conditions; afterwards the endpoint must show size, metadata and a
checksum of what was sent. docs/storage.md says which guarantee holds with which endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import botocore.exceptions
from botocore.config import Config

from lib.errors import StorageMismatch, StorageRefused, StorageUnavailable
from uploader.plan import PlannedFile, UploadPlan, newer
from uploader.settings import UploaderSettings
from uploader.sink import Guard, StoreClosed
from uploader.spool_files import SpoolFiles

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

_TRIES = 4  # at one object that others write at the same time
_MAX_KEY_BYTES = 1024
_MAX_PUT_BYTES = 5 * 1024**3
_WAITING = {"SlowDown", "RequestTimeout", "Throttling", "TooManyRequests", "RequestTimeTooSkewed", "ServiceUnavailable"}
_DIGEST = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"}
_CLOSED = {
    "NoSuchBucket",
    "InvalidBucketName",
    "AccessDenied",
    "AllAccessDisabled",
    "AccountProblem",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "IllegalLocationConstraintException",
    "QuotaExceeded",
}


class _ConflictError(Exception):
    """Another wrote the object between our look and our write."""


class _NotTakenError(Exception):
    """The endpoint does not take a header we sent."""


class _AlwaysHeld:
    """The guard of a settled job: nobody else can hold it."""

    def check(self) -> None:
        """Allow it."""

    def confirm(self) -> None:
        """Allow it."""


class S3Sink:
    """A bucket."""

    checks_later = True

    def __init__(self, settings: UploaderSettings, spool: SpoolFiles) -> None:
        assert settings.s3_bucket is not None
        self._bucket = settings.s3_bucket
        self._prefix = settings.s3_prefix
        self._where = f"bucket {self._bucket} at {settings.s3_endpoint_url or 'AWS'}"
        self._read_back = settings.s3_read_back
        self._spool = spool
        self._conditions = True
        self._checksums = True
        try:
            with translated(self._where):
                self._client = _client(settings)
        except ValueError as error:  # what boto3 says to an endpoint that is no URL
            raise StoreClosed(f"{self._where}: {error}; look at the S3_ settings") from error

    def probe(self) -> None:
        """Ask for the bucket."""
        with translated(self._where):
            self._client.head_bucket(Bucket=self._bucket)

    def store(self, plan: UploadPlan, guard: Guard) -> dict[str, Any]:
        """Store a job's files; see `uploader.sink.Sink.store`."""
        keys = {file.name: self._key(plan, file) for file in plan.files}
        for file in plan.files:
            guard.check()
            self._store_file(plan, file, keys[file.name], guard)
        return plan.outputs({name: f"s3://{self._bucket}/{key}" for name, key in keys.items()})

    def recheck(self, plan: UploadPlan) -> int:
        """Put right what a late write of an older attempt has overwritten; returns how many files that were."""
        repaired = 0
        for file in plan.files:
            key = self._key(plan, file)
            head = self._head(key)
            if head is None or _metadata(head).get("request-id") != quote(plan.request_id):
                continue  # removed, or another job's: not ours to put back
            if newer(_version(head), plan) or self._fault(head, plan, file, key) is None:
                continue
            logger.warning("repairing an overwritten object", extra={"key": key, "request_id": plan.request_id})
            self._store_file(plan, file, key, _AlwaysHeld())
            repaired += 1
        return repaired

    def _key(self, plan: UploadPlan, file: PlannedFile) -> str:
        key = f"{self._prefix}{plan.output_name}/{file.name}"
        if len(key.encode()) > _MAX_KEY_BYTES:
            raise StorageRefused(f"key {key[:80]}… is longer than the {_MAX_KEY_BYTES} bytes S3 takes")
        if file.size > _MAX_PUT_BYTES:
            raise StorageRefused(f"{key}: {file.size} bytes are more than S3 takes in one write")
        return key

    def _store_file(self, plan: UploadPlan, file: PlannedFile, key: str, guard: Guard) -> None:
        for _try in range(_TRIES):
            there = self._head(key)
            if there is not None:
                if self._fault(there, plan, file, key) is None:
                    return  # an earlier try of this attempt got it done
                if _metadata(there).get("request-id") == quote(plan.request_id) and newer(_version(there), plan):
                    # By the object ours is the older attempt. Redis's clock may have been set back: the queue knows.
                    guard.confirm()
            guard.check()
            try:
                self._put(plan, file, key, str(there["ETag"]) if there and there.get("ETag") else None)
            except (_ConflictError, _NotTakenError):
                continue
            stored = self._head(key)
            fault = "it is not there" if stored is None else self._fault(stored, plan, file, key)
            if fault is not None:
                raise StorageMismatch(f"{self._where}: {key} was stored, but {fault}")
            return
        raise StorageUnavailable(f"{self._where}: {key} is being written by others")

    def _put(self, plan: UploadPlan, file: PlannedFile, key: str, etag: str | None) -> None:
        extra: dict[str, Any] = {}
        if self._checksums:
            extra["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(file.sha256)).decode()
        if self._conditions:
            extra |= {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with self._spool.open(plan, file) as body:
            md5 = hashlib.file_digest(body, _md5).digest()
            body.seek(0)
            try:
                with translated(f"{self._where}: {key}", writing=True):
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=key,
                        Body=body,
                        ContentLength=file.size,
                        ContentMD5=base64.b64encode(md5).decode(),
                        ContentType=file.content_type,
                        Metadata=_object_metadata(plan, file),
                        **extra,
                    )
            except _NotTakenError:
                self._do_without(extra)
                raise

    def _do_without(self, extra: Mapping[str, Any]) -> None:
        """Learn that the endpoint does not take what we sent: first the conditions go, then the checksum."""
        if "IfMatch" in extra or "IfNoneMatch" in extra:
            self._conditions = False
            logger.warning("the endpoint takes no conditional writes", extra={"where": self._where})
        elif "ChecksumSHA256" in extra:
            self._checksums = False
            logger.warning("the endpoint takes no SHA-256 checksums", extra={"where": self._where})
        else:
            raise StorageUnavailable(f"{self._where}: does not implement storing an object")

    def _head(self, key: str) -> Mapping[str, Any] | None:
        with translated(f"{self._where}: {key}"):
            try:
                return self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
            except botocore.exceptions.ClientError as error:
                if _status(error) == 404 and error.response["Error"].get("Code") != "NoSuchBucket":
                    return None
                raise

    def _fault(self, head: Mapping[str, Any], plan: UploadPlan, file: PlannedFile, key: str) -> str | None:
        """In what an object differs from this file of this attempt; None when in nothing."""
        if head.get("ContentLength") != file.size:
            return f"has {head.get('ContentLength')} bytes instead of {file.size}"
        found = _metadata(head)
        for name, value in _object_metadata(plan, file).items():
            if found.get(name) != value:
                return f"its metadata {name} is {found.get(name)!r:.100} instead of {value!r:.100}"
        checksum = head.get("ChecksumSHA256")
        if checksum and head.get("ChecksumType") != "COMPOSITE" and _unbase64(checksum) != file.sha256:
            return f"its SHA-256 is given as {checksum!r:.100}"
        if self._read_back:
            return self._read_fault(file, key)
        return self._etag_fault(head, plan, file, key, trusted=bool(checksum))

    def _etag_fault(
        self, head: Mapping[str, Any], plan: UploadPlan, file: PlannedFile, key: str, *, trusted: bool
    ) -> str | None:
        """Hold the ETag against the MD5, where it can be one; where nothing else speaks for the object, read it."""
        etag = str(head.get("ETag") or "").strip('"')
        if (
            len(etag) == 32
            and head.get("ServerSideEncryption") in (None, "AES256")
            and not head.get("SSECustomerAlgorithm")
        ):
            with self._spool.open(plan, file) as body:
                if etag == hashlib.file_digest(body, _md5).hexdigest():
                    return None
            return self._read_fault(file, key)  # a lie, or no MD5 at all: the bytes decide
        return None if trusted else self._read_fault(file, key)

    def _read_fault(self, file: PlannedFile, key: str) -> str | None:
        digest = hashlib.sha256()
        with translated(f"{self._where}: {key}"):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            for block in body.iter_chunks(1 << 20):
                digest.update(block)
        found = digest.hexdigest()
        return None if found == file.sha256 else f"reads back with the SHA-256 {found} instead of {file.sha256}"


def _client(settings: UploaderSettings) -> S3Client:
    keys = settings.s3_keys()
    path_style = settings.s3_path_style if settings.s3_path_style is not None else bool(settings.s3_endpoint_url)
    config = Config(
        s3={"addressing_style": "path" if path_style else "auto"},
        connect_timeout=settings.s3_connect_timeout_seconds,
        read_timeout=settings.s3_read_timeout_seconds,
        max_pool_connections=settings.uploader_threads + 2,
        # Our lease is checked before each write, so a write is never repeated behind our back.
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session(
        aws_access_key_id=keys[0] if keys else None,
        aws_secret_access_key=keys[1] if keys else None,
        region_name=settings.s3_region or None,
    )
    return session.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url or None,
        region_name=session.region_name or "us-east-1",
        config=config,
    )


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _object_metadata(plan: UploadPlan, file: PlannedFile) -> dict[str, str]:
    return {
        "request-id": quote(plan.request_id),
        "attempt": str(plan.attempt),
        "handed-ms": str(plan.handed_ms),
        "token": plan.token,
        "sha256": file.sha256,
    }


def _metadata(head: Mapping[str, Any]) -> dict[str, str]:
    """An object's metadata; some endpoints capitalise the names."""
    return {str(name).lower(): str(value) for name, value in (head.get("Metadata") or {}).items()}


def _version(head: Mapping[str, Any]) -> tuple[int, int]:
    """(handed_ms, attempt) of an object; (0, 0) of one that is not ours."""
    found = _metadata(head)
    numbers = [found.get(name, "") for name in ("handed-ms", "attempt")]
    return (int(numbers[0]), int(numbers[1])) if all(one.isdecimal() for one in numbers) else (0, 0)


def _unbase64(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        return None


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


@contextmanager
def translated(what: str, *, writing: bool = False) -> Iterator[None]:
    """Turn botocore's exceptions into ours; `writing`: _ConflictError and _NotTakenError among them."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        raise _ours(error, what, writing=writing) from error
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.CredentialRetrievalError,
        botocore.exceptions.ProfileNotFound,
        botocore.exceptions.ConfigParseError,
    ) as error:
        raise StoreClosed(f"{what}: {error}; set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY") from error
    except (botocore.exceptions.ParamValidationError, botocore.exceptions.InvalidRegionError) as error:
        raise StoreClosed(f"{what}: {error}; look at the S3_ settings") from error
    except botocore.exceptions.BotoCoreError as error:
        raise StorageUnavailable(f"{what}: {error}") from error


def _ours(error: botocore.exceptions.ClientError, what: str, *, writing: bool) -> Exception:
    answer = error.response.get("Error", {})
    code, status = str(answer.get("Code") or ""), _status(error)
    text = f"{what}: {code or status} {answer.get('Message') or ''}".rstrip()
    if writing and (status in (409, 412) or code in ("PreconditionFailed", "ConditionalRequestConflict")):
        return _ConflictError(text)
    if writing and (status == 501 or code == "NotImplemented"):
        return _NotTakenError(text)
    if code == "RequestTimeTooSkewed":
        return StorageUnavailable(f"{text}; set the clock of this machine")
    if status >= 500 or status == 429 or code in _WAITING or not status >= 300:
        return StorageUnavailable(text)
    if code in _DIGEST:
        return StorageMismatch(text)
    # A HEAD has no body, and so its errors no code but the number.
    if code in _CLOSED or status in (301, 307, 401, 403) or code in ("400", "404"):
        return StoreClosed(f"{text}; look at S3_BUCKET, S3_REGION, the keys and what they are allowed")
    return StorageRefused(text)
