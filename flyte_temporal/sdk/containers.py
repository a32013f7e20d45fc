"""`ContainerTask`: any image and command as a task. Here it is declared; a launcher of containers runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from flyte_temporal.errors import InvalidIdentifier, UnsupportedSpec
from flyte_temporal.sdk.images import ImageSpec
from flyte_temporal.sdk.instances import InstanceOptions, PythonInstanceTask
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.commands import TEMPLATE
from flyte_temporal.spec.entities import ContainerSpec
from flyte_temporal.spec.identifiers import container_folder
from flyte_temporal.spec.policies import TaskPolicy

if TYPE_CHECKING:
    from flyte_temporal.sdk.types.engine import ValueContext


class Metadata(StrEnum):
    """How inputs that are no files are written below the input folder."""

    JSON = "json"
    YAML = "yaml"
    PROTO = "proto"


class Download(StrEnum):
    """When files of inputs are fetched."""

    EAGER = "eager"
    STREAM = "stream"
    NONE = "none"


class Upload(StrEnum):
    """When files of outputs are stored."""

    ON_EXIT = "on_exit"
    EAGER = "eager"
    NONE = "none"


class DataStrategy:
    """How data reaches the container and leaves it.

    Args:
        download_mode: When files of inputs are fetched.
        upload_mode: When files of outputs are stored.
    """

    DownloadMode: ClassVar[type[Download]] = Download
    UploadMode: ClassVar[type[Upload]] = Upload

    def __init__(
        self, download_mode: Download = Download.EAGER, upload_mode: Upload = Upload.ON_EXIT
    ) -> None:
        self.download_mode, self.upload_mode = Download(download_mode), Upload(upload_mode)


class ContainerTask(PythonInstanceTask):
    """A container without Python of ours; see docs/containers.md.

    Args:
        name: The name by which it is registered.
        image: The image.
        command: Its command, with `{{.inputs.x}}` where values belong: an argument stays one argument.
        arguments: Further arguments.
        inputs: Python type of each input.
        outputs: Python type of each output.
        input_data_dir: Folder in the container in which inputs are files.
        output_data_dir: Folder in the container in which the command leaves a file for each output.
        metadata_format: How inputs that are no files are written.
        io_strategy: When data is moved.
        options: See `TaskOptions`: resources, secret_requests, pod_template, …

    Raises:
        CompileError: If there is no image or command, or a template names no input.
    """

    task_type = "container"
    MetadataFormat: ClassVar[type[Metadata]] = Metadata
    IOStrategy: ClassVar[type[DataStrategy]] = DataStrategy

    def __init__(  # noqa: PLR0913 - flytekit's signature
        self,
        name: str,
        image: str | ImageSpec,
        command: Sequence[str],
        *,
        arguments: Sequence[str] = (),
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        input_data_dir: str = "",
        output_data_dir: str = "",
        metadata_format: Metadata | str = Metadata.JSON,
        io_strategy: DataStrategy | None = None,
        **options: Unpack[InstanceOptions],
    ) -> None:
        given: Any = {**options, "container_image": image}
        super().__init__(name, inputs=inputs, outputs=outputs, **given)
        if not self.policy.image:
            raise self.wrong(f'{self.made_by} needs an image. Write image="alpine:3.20".')
        self._check_texts("command", command)
        self._check_texts("arguments", arguments)
        if not command and not arguments:
            raise self.wrong(f'{self.made_by} needs a command. Write command=["sh", "-c", "..."].')
        if self._outputs and not output_data_dir:
            raise self.wrong(
                f'{self.short_name} has outputs, but no folder to leave them in. Write output_data_dir="/var/outputs".'
            )
        if metadata_format not in tuple(Metadata):
            raise self.wrong(f"metadata_format={shown(metadata_format)} must be one of JSON, YAML, PROTO.")
        self._check_folder("input_data_dir", input_data_dir)
        self._check_folder("output_data_dir", output_data_dir)
        strategy = io_strategy or DataStrategy()
        self.container = ContainerSpec(
            image=self.policy.image,
            command=tuple(command),
            args=tuple(arguments),
            input_dir=input_data_dir,
            output_dir=output_data_dir,
            metadata_format=Metadata(metadata_format).value,
            download=strategy.download_mode.value,
            upload=strategy.upload_mode.value,
        )

    def _check_folder(self, option: str, folder: str) -> None:
        try:
            container_folder(folder)
        except InvalidIdentifier as error:
            raise self.wrong(f"{option} of {self.short_name}: {error.message}") from None

    def _check_texts(self, what: str, texts: Sequence[str]) -> None:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise self.wrong(f"{what}={shown(texts)} must be a list of texts, one for each argument.")
        for text in texts:
            for found in TEMPLATE.finditer(text):
                known = self._inputs if found[1] == "inputs" else self._outputs
                if found[2] not in known:
                    raise self.wrong(
                        f"The {what} uses {found[0]}, but {self.short_name} has no such {found[1][:-1]}; it has: "
                        f"{', '.join(known) or 'none'}."
                    )

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:  # noqa: ARG002 - refuses
        """Refuse: there is nothing here that plain Python could run.

        Raises:
            UnsupportedSpec: Always.
        """
        raise UnsupportedSpec(needs_container(self.name, self.policy))


def needs_container(name: str, policy: TaskPolicy) -> str:
    """Return why a task cannot run without a launcher for containers."""
    return (
        f"The task {name} is the container {policy.image}, which needs a launcher that starts containers; plain runs "
        "and the launchers 'pool' and 'process' run Python only. Run it with --launcher podman, docker or kubernetes; "
        "docs/containers.md says what to set up."
    )
