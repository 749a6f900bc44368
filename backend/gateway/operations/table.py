"""Where each operation is asked for."""

from collections.abc import Mapping

from backend.gateway.operations.completions import Completions
from backend.gateway.operations.embeddings import Embeddings
from backend.gateway.operations.image_edits import ImageEdits, ImageVariations
from backend.gateway.operations.images import Images
from backend.gateway.operations.moderations import Moderations
from backend.gateway.operations.operation import Operation
from backend.gateway.operations.rerank import Rerank
from backend.gateway.operations.speech import Speech
from backend.gateway.operations.transcriptions import Transcriptions, Translations

OPERATIONS: Mapping[str, Operation] = {
    "/v1/embeddings": Embeddings(),
    "/v1/completions": Completions(),
    "/v1/moderations": Moderations(),
    "/v1/rerank": Rerank(),
    "/v1/images/generations": Images(),
    "/v1/images/edits": ImageEdits(),
    "/v1/images/variations": ImageVariations(),
    "/v1/audio/speech": Speech(),
    "/v1/audio/transcriptions": Transcriptions(),
    "/v1/audio/translations": Translations(),
}
