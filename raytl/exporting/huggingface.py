"""`--to huggingface`: a folder that transformers' `from_pretrained` loads, where one of its own
models computes just what this one does."""

from pathlib import Path
from typing import Any

from raytl.errors import ModelError
from raytl.exporting.huggingface_images import write_images
from raytl.exporting.huggingface_texts import write_texts
from raytl.exporting.linear import OTHERS
from raytl.exporting.needs import need
from raytl.models.source_folder import load_complete_model

README = "README.md"


def export_huggingface(model: Path, folder: Path) -> dict[str, Any]:
    """Write the model in `model` for transformers into `folder`; return what there is to say of it.

    Raises ModelError where no model of transformers is the same, RaytlError where the extra `text`
    is missing.
    """
    need("text", ("transformers", "tokenizers"))
    import transformers

    complete = load_complete_model(model)
    modalities = [part.modality for part in complete.spec.parts.values()]
    if modalities not in (["text"], ["image"]):
        raise ModelError(
            "--to huggingface needs a model that reads texts alone or images alone, but this one "
            f"reads {', '.join(modalities)}; {OTHERS}"
        )
    write, kind = {
        "text": (write_texts, "AutoModelForSequenceClassification"),
        "image": (write_images, "AutoModelForImageClassification"),
    }[modalities[0]]
    apart, how = write(complete, folder)
    (folder / README).write_text(_readme(kind, how), encoding="utf-8")
    return {"by": "transformers", "transformers": transformers.__version__, "apart": apart}


def _readme(kind: str, how: str) -> str:
    return f"""# A model for transformers

Exported by raytl, which is not needed to run it; `config.json` has the labels.

```python
from transformers import {kind}

model = {kind}.from_pretrained(".")
```

{how}
"""
