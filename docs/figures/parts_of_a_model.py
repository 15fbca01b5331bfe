"""Pictures of what a trial is made of: source model, frozen depth, mapper, recipe, λ, prefix."""

from pen import Pen

from raytl.recipes.adversarial import ganin_factor

ORIGINS = ("path: a folder of raytl's", "torchvision:, timm:", "huggingface:", "backbone: fresh")
MAPPERS = "identity · linear · matrix · mlp · residual · conv1x1 · attention"


def source_model() -> Pen:
    """A pretrained network in blocks, and where it may come from."""
    pen = Pen("A source model: a pretrained network in blocks, and what it was trained on", 190)
    pen.text(20, 30, "where it comes from", kind="big")
    for row, origin in enumerate(ORIGINS):
        pen.text(20, 58 + 24 * row, origin)
    pen.arrow(215, 95, 250, 95)
    pen.text(260, 30, "source model", kind="big")
    for block, words in enumerate(("block 0\nstem", "block 1", "block 2", "block 3")):
        pen.box(260 + 78 * block, 60, 70, 70, words, "source faint")
        if block:
            pen.arrow(252 + 78 * block, 95, 260 + 78 * block, 95)
    pen.box(572, 60, 60, 70, "head", "soft")
    pen.arrow(564, 95, 572, 95)
    pen.text(260, 158, "model.safetensors: the weights")
    pen.text(260, 178, "source.json: blocks, transform, classes, what it was trained on, its score")
    return pen


def frozen_depth() -> Pen:
    """The same five blocks at three depths."""
    pen = Pen("Five blocks frozen to 0, 40 and 100 per cent: leading blocks are frozen", 190)
    for row, (depth, frozen) in enumerate((("0%", 0), ("40%", 2), ("100%", 5))):
        y = 20 + 54 * row
        pen.text(20, y + 24, f"frozen_depth: {depth}")
        for block in range(5):
            kind = "source faint" if block < frozen else "target faint"
            pen.box(180 + 74 * block, y, 66, 38, f"block {block}", kind)
        pen.box(560, y, 60, 38, "mapper", "target faint")
        pen.box(628, y, 60, 38, "head", "target faint")
    pen.dot(186, 181, 5, "source"), pen.text(197, 185, "frozen: computed once, kept", kind="small")
    pen.dot(406, 181, 5, "target"), pen.text(417, 185, "trained", kind="small")
    return pen


def mapper() -> Pen:
    """Where the mapper stands."""
    pen = Pen("Features of the backbone pass through the mapper to the head", 150)
    pen.box(20, 40, 150, 60, "backbone", "source faint")
    pen.arrow(170, 70, 230, 70), pen.text(200, 60, "f", middle=True)
    pen.box(230, 30, 190, 80, "mapper T", "target faint")
    pen.text(325, 128, MAPPERS, middle=True)
    pen.arrow(420, 70, 480, 70), pen.text(450, 60, "z = T(f)", middle=True, kind="small")
    pen.box(480, 40, 110, 60, "head", "target faint")
    pen.arrow(590, 70, 640, 70), pen.text(650, 75, "answer")
    return pen


def recipe() -> Pen:
    """Three recipes: which rows go in, which losses come out."""
    pen = Pen("Which rows and losses linear_probe, finetune and dann train with", 230)
    rows = (
        ("linear_probe", False, True, ("L_task",)),
        ("finetune", False, False, ("L_task",)),
        ("dann", True, False, ("L_task", "λ · L_domain, reversed")),
    )
    for place, (name, two, frozen, losses) in enumerate(rows):
        y = 14 + 72 * place
        pen.text(20, y + 32, name, kind="big")
        pen.box(140, y if two else y + 14, 130, 24, "labelled rows", "target faint")
        if two:
            pen.box(140, y + 28, 130, 24, "target, no labels", "open")
        pen.arrow(270, y + 26, 300, y + 26)
        kind = "source faint" if frozen else "target faint"
        words = "blocks: frozen" if frozen else "blocks: trained\nfrom frozen_depth on"
        pen.box(300, y + 4, 196, 44, words, kind)
        pen.arrow(496, y + 26, 526, y + 26)
        for row, loss in enumerate(losses):
            down = y + 26 + (row - (len(losses) - 1) / 2) * 24
            pen.text(536, down + 5, loss)
    return pen


def adversarial_lambda() -> Pen:
    """λ over the training, as `lambda_schedule: ganin` has it, from raytl's own function."""
    pen = Pen("The factor of lambda rises from 0 to 1 in the first half of the training", 220)
    left, top, w, h = 60, 20, 280, 160
    pen.line([(left, top), (left, top + h), (left + w, top + h)])
    steps = [step / 60 for step in range(61)]
    curve = [(left + w * p, top + h * (1 - ganin_factor(p))) for p in steps]
    pen.line(curve, "target ring")
    pen.text(left - 12, top + 8, "λ", middle=True), pen.text(left - 12, top + h, "0", middle=True)
    pen.text(left, top + h + 20, "start", middle=True)
    pen.text(left + w, top + h + 20, "end of training", middle=True)
    pen.box(400, 76, 100, 44, "features z", "source faint")
    pen.arrow(500, 90, 560, 54), pen.box(560, 30, 130, 40, "head: L_task", "target faint")
    pen.arrow(500, 106, 560, 144)
    pen.box(560, 126, 130, 40, "source or\ntarget?", "soft")
    pen.text(400, 152, "its gradient comes", kind="small")
    pen.text(400, 167, "back times -λ", kind="small")
    return pen


def prefix_features() -> Pen:
    """Trials that share a frozen prefix share its output."""
    pen = Pen("A frozen prefix is computed once; three trials train on what it gave", 200)
    pen.box(20, 70, 90, 50, "rows", "soft")
    pen.arrow(110, 95, 140, 95)
    pen.box(140, 70, 130, 50, "frozen blocks\nrun once", "source faint")
    pen.arrow(270, 95, 300, 95)
    pen.box(300, 60, 140, 70, "prefix features\non disk, mapped", "source faint")
    for place, words in enumerate(("mapper mlp, lr 0.02", "dann, λ 0.3", "lr 0.07, dropout")):
        y = 20 + 58 * place
        pen.arrow(440, 95, 500, y + 22)
        pen.box(500, y, 190, 44, f"trial {place}: {words}", "target faint")
    return pen


DRAWN = {
    "source-model": source_model, "frozen-depth": frozen_depth, "mapper": mapper,
    "recipe": recipe, "adversarial-lambda": adversarial_lambda, "prefix-features": prefix_features,
}  # fmt: skip
